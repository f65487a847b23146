/* Writes coded units to standard output, and a line about each to standard error.
 *
 *   cc units.c $(pkg-config --cflags --libs lensd) -o units
 *   ./units [STREAM [UNITS]] | ffplay -f h264 -
 */
#include <lensd.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv) {
  lensd_options options = {.size = sizeof options};
  if (argc > 1) options.stream = argv[1];
  long left = argc > 2 ? atol(argv[2]) : -1;
  lensd_units *units;
  if (lensd_units_open(&options, &units) != LENSD_OK) {
    fprintf(stderr, "units: %s\n", lensd_error());
    return 1;
  }
  int result = 0;
  while (left != 0) {
    lensd_unit unit;
    int got = lensd_units_next(units, -1, &unit, sizeof unit);
    if (got == LENSD_TIMEOUT) continue; /* a signal */
    if (got != LENSD_OK) {
      fprintf(stderr, "units: %s\n", lensd_error());
      result = 1;
      break;
    }
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    fprintf(stderr, "%" PRIu64 " %s%zu bytes, latency %" PRIu64 " us, lost %" PRIu64 "\n",
            unit.number, unit.key ? "key frame, " : "", unit.len,
            (now - unit.capture_mono_ns) / 1000, unit.lost);
    if (fwrite(unit.data, 1, unit.len, stdout) != unit.len || fflush(stdout) != 0) break;
    if (left > 0) left--;
  }
  lensd_units_close(units);
  return result;
}
