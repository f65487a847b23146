/* Prints each frame's number, capture time and latency, until the server ends.
 *
 *   cc tap.c $(pkg-config --cflags --libs lensd) -o tap
 *   ./tap [--stream cam1] [--every] [--size 640x360] [--format GREY] [--frames N] [--hold MS]
 *         [--crc] [--socket data/run/tap.sock] [--token TOKEN]
 *
 * --crc computes the checksum of each frame and compares it with the camera's (the test camera has
 * one). --hold keeps each frame for a while, as a program that works on it does.
 */
#include <lensd.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* CRC-32 (IEEE 802.3), eight bytes at a time. */
static uint32_t crc32(const uint8_t *data, size_t len) {
  static uint32_t table[8][256];
  if (table[0][1] == 0) {
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t c = i;
      for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
      table[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
      for (int k = 1; k < 8; k++)
        table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 255];
  }
  uint32_t crc = ~0u;
  for (; len >= 8; data += 8, len -= 8) {
    crc ^= (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
           (uint32_t)data[3] << 24;
    crc = table[7][crc & 255] ^ table[6][crc >> 8 & 255] ^ table[5][crc >> 16 & 255] ^
          table[4][crc >> 24] ^ table[3][data[4]] ^ table[2][data[5]] ^ table[1][data[6]] ^
          table[0][data[7]];
  }
  for (; len > 0; data++, len--) crc = crc >> 8 ^ table[0][(crc ^ *data) & 255];
  return ~crc;
}

static int fail(const char *what) {
  fprintf(stderr, "tap: %s: %s\n", what, lensd_error());
  return 1;
}

int main(int argc, char **argv) {
  lensd_options options = {.size = sizeof options};
  long frames = -1, hold_ms = 0;
  int check_crc = 0;
  for (int i = 1; i < argc; i++) {
    const char *value = i + 1 < argc ? argv[i + 1] : "";
    if (strcmp(argv[i], "--every") == 0) {
      options.mode = LENSD_EVERY;
      continue;
    }
    if (strcmp(argv[i], "--crc") == 0) {
      check_crc = 1;
      continue;
    }
    if (strcmp(argv[i], "--stream") == 0) options.stream = value;
    else if (strcmp(argv[i], "--socket") == 0) options.socket = value;
    else if (strcmp(argv[i], "--token") == 0) options.token = value;
    else if (strcmp(argv[i], "--size") == 0) options.frame_size = value;
    else if (strcmp(argv[i], "--format") == 0) options.format = value;
    else if (strcmp(argv[i], "--frames") == 0) frames = atol(value);
    else if (strcmp(argv[i], "--hold") == 0) hold_ms = atol(value);
    else {
      fprintf(stderr, "tap: %s is no option; see the head of tap.c\n", argv[i]);
      return 2;
    }
    i++;
  }

  lensd_tap *tap;
  if (lensd_tap_open(&options, &tap) != LENSD_OK) return fail("cannot open");
  int torn = 0;
  while (frames != 0) {
    lensd_frame *frame;
    int got = lensd_tap_next(tap, -1, &frame);
    if (got == LENSD_TIMEOUT) continue; /* a signal */
    if (got != LENSD_OK) {
      fail("the end");
      break;
    }
    uint64_t woken = now_ns();
    lensd_frame_info info;
    lensd_frame_get_info(frame, &info, sizeof info);
    if (hold_ms > 0) {
      struct timespec span = {hold_ms / 1000, hold_ms % 1000 * 1000000};
      nanosleep(&span, NULL);
    }
    uint32_t crc = check_crc ? crc32(info.data, info.len) : 0;
    /* Only now it is certain that all that was read is of this picture. */
    int whole = lensd_frame_release(frame) == LENSD_OK;
    if (whole && check_crc && info.has_crc && crc != info.crc) torn++;
    printf("%" PRIu64 " %.4s %" PRIu32 "x%" PRIu32 " captured %" PRIu64 ".%09" PRIu64
           " latency %" PRIu64 " us, wake %" PRIu64 " us%s\n",
           info.number, (const char *)&info.fourcc, info.width, info.height,
           info.capture_mono_ns / 1000000000u, info.capture_mono_ns % 1000000000u,
           (woken - info.capture_mono_ns) / 1000, (woken - info.given_mono_ns) / 1000,
           whole ? "" : " revoked");
    fflush(stdout);
    if (frames > 0) frames--;
  }
  lensd_tap_counts counts;
  lensd_tap_get_counts(tap, &counts, sizeof counts);
  fprintf(stderr, "given %" PRIu64 ", lost %" PRIu64 ", revoked %" PRIu64 ", torn %d\n",
          counts.given, counts.lost, counts.revoked, torn);
  lensd_tap_close(tap);
  return torn > 0;
}
