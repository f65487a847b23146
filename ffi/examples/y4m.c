/* Writes frames to standard output, as YUV4MPEG2 or as they lie in memory: for FFmpeg, GStreamer and
 * whatever else reads a pipe. It must be I420, GREY, or what the reader is told with --raw.
 *
 *   cc y4m.c $(pkg-config --cflags --libs lensd) -o y4m
 *   ./y4m | ffmpeg -f yuv4mpegpipe -i - out.mkv
 *   ./y4m | gst-launch-1.0 fdsrc ! y4mdec ! videoconvert ! autovideosink
 *   ./y4m --raw BGR24 640x360 | ffmpeg -f rawvideo -pix_fmt bgr24 -s 640x360 -r 30 -i - out.mkv
 *
 *   ./y4m [--frames N] [--fps N] [--raw FORMAT [SIZE]]
 */
#include <lensd.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Copies the picture without padding; returns its length. A pipe may be read slowly, and the camera
 * must have its buffer back before that. */
static size_t copy_planes(const lensd_frame_info *info, uint8_t **to, size_t *room) {
  size_t len = 0;
  for (uint32_t p = 0; p < info->plane_count; p++) {
    const lensd_plane *plane = &info->planes[p];
    size_t end = len + (size_t)plane->rows * plane->row;
    if (end > *room) {
      *to = realloc(*to, *room = end);
      if (*to == NULL) abort();
    }
    for (uint32_t y = 0; y < plane->rows; y++, len += plane->row)
      memcpy(*to + len, plane->data + (size_t)y * plane->stride, plane->row);
  }
  return len;
}

int main(int argc, char **argv) {
  lensd_options options = {.size = sizeof options, .mode = LENSD_EVERY, .format = "I420"};
  long frames = -1, fps = 30;
  int raw = 0, begun = 0, result = 0;
  uint8_t *picture = NULL;
  size_t room = 0;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--frames") == 0 && i + 1 < argc) frames = atol(argv[++i]);
    else if (strcmp(argv[i], "--fps") == 0 && i + 1 < argc) fps = atol(argv[++i]);
    else if (strcmp(argv[i], "--raw") == 0 && i + 1 < argc) {
      raw = 1;
      options.format = argv[++i];
    } else options.frame_size = argv[i];
  }
  lensd_tap *tap;
  if (lensd_tap_open(&options, &tap) != LENSD_OK) {
    fprintf(stderr, "y4m: %s\n", lensd_error());
    return 1;
  }
  while (frames != 0) {
    lensd_frame *frame;
    int got = lensd_tap_next(tap, -1, &frame);
    if (got == LENSD_TIMEOUT) continue; /* a signal */
    if (got != LENSD_OK) {
      fprintf(stderr, "y4m: %s\n", lensd_error());
      result = 1;
      break;
    }
    lensd_frame_info info;
    lensd_frame_get_info(frame, &info, sizeof info);
    size_t len = copy_planes(&info, &picture, &room);
    if (lensd_frame_release(frame) != LENSD_OK) continue; /* it may be of two pictures */
    if (!raw && !begun)
      printf("YUV4MPEG2 W%" PRIu32 " H%" PRIu32 " F%ld:1 Ip A1:1 C420jpeg\n", info.width,
             info.height, fps);
    begun = 1;
    if (!raw) fputs("FRAME\n", stdout);
    if (fwrite(picture, 1, len, stdout) != len || fflush(stdout) != 0) break;
    if (frames > 0) frames--;
  }
  lensd_tap_close(tap);
  free(picture);
  return result;
}
