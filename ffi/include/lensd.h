/* liblensd: frames and coded units of a lensd camera server on the same machine, where they lie in
 * shared memory. See ffi/README.md for building, ffi/examples for programs.
 *
 * Results. Functions that return int return LENSD_OK, another code that is not negative, or a
 * negative one for an error, which lensd_error() puts into words. None of them unwinds or aborts.
 *
 * Threads. Handles may be used by any thread, also by several at once: a handle serves one call at
 * a time, so that others wait for a thread inside lensd_tap_next(). A frame is independent of its
 * tap and of other frames. A handle must not be used while or after it is closed or released.
 *
 * Frames. A frame's pixels are the camera's own buffer, mapped for reading: nothing is copied. It
 * is lent: the server takes it back when it is held for longer than the setting tap-lease says, or
 * when the camera runs out of buffers. lensd_frame_check(), lensd_frame_return() and
 * lensd_frame_release() tell whether what was read so far is of one picture: throw the result away
 * if they say LENSD_REVOKED.
 */
#ifndef LENSD_H
#define LENSD_H 1

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LENSD_OK 0
/* Nothing came in time, or a signal did. */
#define LENSD_TIMEOUT 1
/* The server has taken the frame back. */
#define LENSD_REVOKED 2
/* An argument is null or makes no sense. */
#define LENSD_INVALID (-1)
/* There is no server at the socket. */
#define LENSD_UNREACHABLE (-2)
/* The server refuses: no right, no such stream, too many clients ... */
#define LENSD_REFUSED (-3)
/* The server has ended, or has ended this connection: open it again. */
#define LENSD_CLOSED (-4)
/* LENSD_MAX_HELD frames are held: return one first. */
#define LENSD_FULL (-5)
/* The server says what cannot be. */
#define LENSD_BROKEN (-6)
/* The system refuses. */
#define LENSD_SYSTEM (-7)
/* A fault of this library. */
#define LENSD_FAULT (-8)

/* Most frames that can be held at once. */
#define LENSD_MAX_HELD 16
#define LENSD_MAX_PLANES 3

/* lensd_options.mode: the newest frame, or all of them. */
#define LENSD_LATEST 0
#define LENSD_EVERY 1

/* lensd_unit.codec */
#define LENSD_H264 1
#define LENSD_H265 2
#define LENSD_JPEG 3

/* lensd_frame_info.fourcc: V4L2's codes, such as LENSD_FOURCC('Y', 'U', '1', '2'). */
#define LENSD_FOURCC(a, b, c, d) \
  ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

typedef struct lensd_tap lensd_tap;
typedef struct lensd_frame lensd_frame;
typedef struct lensd_units lensd_units;

/* What is wanted. Zero all of it, then set size; what is NULL or 0 has its default. */
typedef struct lensd_options {
  size_t size;            /* sizeof(lensd_options) */
  const char *socket;     /* the server's socket; NULL: LENSD_TAP of the environment, then
                             data/run/tap.sock */
  const char *stream;     /* "stream1", "stream2", "cam1", "cam1/sub", "cam1/mjpeg" ...; NULL:
                             "stream1", which follows the active camera */
  const char *token;      /* an API token of lensd, for users that the server does not know; NULL:
                             LENSD_TOKEN of the environment */
  const char *frame_size; /* "640x360", or "camera"; NULL: as the server is set (tap-size) */
  const char *format;     /* "I420", "NV12", "GREY", "RGB24", "BGR24", or "camera"; NULL: as the
                             server is set (tap-format) */
  int mode;               /* LENSD_LATEST or LENSD_EVERY */
  uint32_t queue;         /* frames that may wait with LENSD_EVERY, to 16; 0: four */
} lensd_options;

typedef struct lensd_plane {
  const uint8_t *data; /* first byte of the first row */
  uint32_t stride;     /* bytes from one row to the next */
  uint32_t row;        /* bytes of a row without padding */
  uint32_t rows;       /* number of rows */
  uint32_t reserved;
} lensd_plane;

typedef struct lensd_frame_info {
  uint64_t number;           /* the camera's frame number, with gaps where it lost some */
  uint64_t seq;              /* which frame of this connection, from 0 */
  uint64_t capture_mono_ns;  /* when it was captured, CLOCK_MONOTONIC */
  int64_t capture_utc_ns;    /* the same instant in UTC, since 1970 */
  uint64_t given_mono_ns;    /* when the server gave it, CLOCK_MONOTONIC */
  uint64_t taken_mono_ns;    /* when this library took it, CLOCK_MONOTONIC */
  const uint8_t *data;       /* the whole buffer as far as it is used */
  size_t len;                /* length of that */
  uint32_t capture_error_ns; /* bound of the error of capture_utc_ns */
  uint32_t fourcc;           /* layout */
  uint32_t width;            /* pixels */
  uint32_t height;           /* pixels */
  uint32_t crc;              /* CRC-32 (IEEE) of the bytes at data, if has_crc: the test camera's */
  uint32_t has_crc;
  uint32_t camera; /* number of the camera, from 1 */
  uint32_t plane_count;
  lensd_plane planes[LENSD_MAX_PLANES];
  uint32_t colour; /* ITU-T H.273, a byte each from the lowest: primaries, transfer, matrix, full range */
  uint32_t reserved;
} lensd_frame_info;

typedef struct lensd_tap_counts {
  uint64_t given;   /* frames that the server has given */
  uint64_t lost;    /* frames that were not got because this program was slow; with LENSD_LATEST,
                       frames that were skipped for a newer one do not count */
  uint64_t revoked; /* frames that the server took back while they were held */
} lensd_tap_counts;

typedef struct lensd_unit {
  const uint8_t *data; /* H.264 or H.265 with start codes (Annex B), or a JPEG; valid until the next
                          call of lensd_units_next() */
  size_t len;
  uint64_t seq;              /* its number in the stream */
  uint64_t number;           /* the camera's frame number */
  uint64_t capture_mono_ns;  /* when it was captured, CLOCK_MONOTONIC */
  int64_t capture_utc_ns;    /* the same instant in UTC, since 1970 */
  uint64_t encoded_mono_ns;  /* when encoding was done, CLOCK_MONOTONIC */
  uint64_t lost;             /* units that were lost before this one */
  uint32_t capture_error_ns; /* bound of the error of capture_utc_ns */
  uint32_t codec;            /* LENSD_H264, LENSD_H265 or LENSD_JPEG */
  uint32_t key;              /* whether decoding can begin here */
  uint32_t width;            /* pixels; 0: unknown */
  uint32_t height;           /* pixels; 0: unknown */
  uint32_t reserved;
} lensd_unit;

/* The version of the library, such as "0.1.0". */
const char *lensd_version(void);

/* What went wrong last in this thread, in words. Valid until its next call of this library. */
const char *lensd_error(void);

/* Connects for raw frames. wanted may be NULL. */
int lensd_tap_open(const lensd_options *wanted, lensd_tap **tap);

/* Waits for the next frame, at most timeout_ms (negative: for ever), and takes it. LENSD_TIMEOUT:
 * none came, or a signal did. Errors but LENSD_FULL are final: close it. */
int lensd_tap_next(lensd_tap *tap, int timeout_ms, lensd_frame **frame);

/* A descriptor that is readable when there may be a frame, for poll(2); lensd_tap_next() with a
 * timeout of 0 then takes it. It belongs to the tap. */
int lensd_tap_fd(const lensd_tap *tap);

/* A descriptor that is readable when the server has said something, also that it ends. */
int lensd_tap_socket(const lensd_tap *tap);

/* size is sizeof(lensd_tap_counts). */
int lensd_tap_get_counts(const lensd_tap *tap, lensd_tap_counts *counts, size_t size);

/* Disconnects. Frames that are held stay mapped until they are released, but are not lent any more.
 * NULL is nothing. */
void lensd_tap_close(lensd_tap *tap);

/* Everything about a frame; size is sizeof(lensd_frame_info). */
int lensd_frame_get_info(const lensd_frame *frame, lensd_frame_info *info, size_t size);

/* LENSD_OK: what was read so far is of this picture. LENSD_REVOKED: it may not be. */
int lensd_frame_check(const lensd_frame *frame);

/* Gives the frame back to the camera, and tells as lensd_frame_check() does. Its memory stays
 * mapped, with whatever the camera writes next, until it is released. */
int lensd_frame_return(lensd_frame *frame);

/* Gives the frame back if it was not, tells as lensd_frame_check() does, and frees the handle. */
int lensd_frame_release(lensd_frame *frame);

/* Connects for coded units. mode, queue, frame_size and format mean nothing here. */
int lensd_units_open(const lensd_options *wanted, lensd_units **units);

/* Waits for the next unit as lensd_tap_next() does; the first is a key frame, and so is the first
 * after a loss. size is sizeof(lensd_unit). */
int lensd_units_next(lensd_units *units, int timeout_ms, lensd_unit *unit, size_t size);

/* A descriptor that is readable when there may be a unit. */
int lensd_units_fd(const lensd_units *units);

/* Disconnects. NULL is nothing. */
void lensd_units_close(lensd_units *units);

#ifdef __cplusplus
}
#endif

#endif
