// vmprobe: exercises the guest kernel's V4L2 and dma-buf surface; exit status 0 = as expected.
//
//   vmprobe mmap   DEV W H FOURCC N [FPS]        MMAP capture, prints the delivered rate
//   vmprobe expbuf DEV W H FOURCC N              EXPBUF too: dma-buf bytes must equal mmap bytes
//   vmprobe import DEV W H FOURCC N heap|udmabuf capture into imported dma-bufs
//   vmprobe heap [NAME]                          allocate, map and sync a dma-heap buffer
//   vmprobe udmabuf                              memfd to dma-buf
//   vmprobe hold DEV SECS                        stream; print errors; 0 also on ENODEV
//   vmprobe uevents SECS                         print kernel uevents

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/netlink.h>
#include <linux/udmabuf.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int xio(int fd, unsigned long req, void *arg) {
    int r;
    do
        r = ioctl(fd, req, arg);
    while (r < 0 && errno == EINTR);
    return r;
}

#define CK(x)                                                                                      \
    do {                                                                                           \
        if ((x) < 0) {                                                                             \
            fprintf(stderr, "FAIL %s: %s\n", #x, strerror(errno));                                 \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static int heap_alloc(const char *name, size_t len) {
    char p[64];
    snprintf(p, sizeof p, "/dev/dma_heap/%s", name);
    int h = open(p, O_RDWR | O_CLOEXEC);
    CK(h);
    struct dma_heap_allocation_data a = {.len = len, .fd_flags = O_RDWR | O_CLOEXEC};
    CK(xio(h, DMA_HEAP_IOCTL_ALLOC, &a));
    close(h);
    return a.fd;
}

static int udma_alloc(size_t len) {
    int m = memfd_create("u", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CK(m);
    CK(ftruncate(m, len));
    CK(fcntl(m, F_ADD_SEALS, F_SEAL_SHRINK));
    int d = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
    CK(d);
    struct udmabuf_create c = {
        .memfd = m, .flags = UDMABUF_FLAGS_CLOEXEC, .offset = 0, .size = len};
    int fd = ioctl(d, UDMABUF_CREATE, &c);
    CK(fd);
    close(d);
    close(m);
    return fd;
}

static int check_buf(const char *what, int fd, size_t len) {
    unsigned char *p = mmap(0, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        perror("mmap dma-buf");
        return 1;
    }
    struct dma_buf_sync s = {DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW};
    CK(xio(fd, DMA_BUF_IOCTL_SYNC, &s));
    for (size_t i = 0; i < len; i++)
        p[i] = i * 7;
    s.flags = DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW;
    CK(xio(fd, DMA_BUF_IOCTL_SYNC, &s));
    int bad = 0;
    for (size_t i = 0; i < len; i++)
        bad |= p[i] != (unsigned char)(i * 7);
    munmap(p, len);
    printf("%s: fd=%d len=%zu seek_end=%lld %s\n", what, fd, len, (long long)lseek(fd, 0, SEEK_END),
           bad ? "BAD" : "ok");
    return bad;
}

struct cam {
    int fd;
    int n;
    unsigned mem;
    size_t len;
    void *map[8];
    int dfd[8];
};

static void cam_open(struct cam *c, char **a) {
    memset(c, 0, sizeof *c);
    c->fd = open(a[0], O_RDWR | O_NONBLOCK | O_CLOEXEC);
    CK(c->fd);
    struct v4l2_format f = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE};
    f.fmt.pix.width = atoi(a[1]);
    f.fmt.pix.height = atoi(a[2]);
    f.fmt.pix.pixelformat = v4l2_fourcc(a[3][0], a[3][1], a[3][2], a[3][3]);
    CK(xio(c->fd, VIDIOC_S_FMT, &f));
    c->len = f.fmt.pix.sizeimage;
    printf("%s: %ux%u %.4s size %zu\n", a[0], f.fmt.pix.width, f.fmt.pix.height,
           (char *)&f.fmt.pix.pixelformat, c->len);
}

static void cam_bufs(struct cam *c, unsigned mem) {
    struct v4l2_requestbuffers r = {.count = 4, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = mem};
    CK(xio(c->fd, VIDIOC_REQBUFS, &r));
    c->n = r.count;
    c->mem = mem;
    for (int i = 0; i < c->n && mem == V4L2_MEMORY_MMAP; i++) {
        struct v4l2_buffer b = {.index = i, .type = r.type, .memory = mem};
        CK(xio(c->fd, VIDIOC_QUERYBUF, &b));
        c->len = b.length;
        c->map[i] = mmap(0, b.length, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, b.m.offset);
        if (c->map[i] == MAP_FAILED) {
            perror("mmap");
            exit(1);
        }
    }
}

static int cam_q(struct cam *c, int i) {
    struct v4l2_buffer b = {.index = i, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = c->mem};
    if (c->mem == V4L2_MEMORY_DMABUF)
        b.m.fd = c->dfd[i];
    return xio(c->fd, VIDIOC_QBUF, &b);
}

static int cam_dq(struct cam *c, struct v4l2_buffer *b, int ms) {
    struct pollfd p = {c->fd, POLLIN, 0};
    int r = poll(&p, 1, ms);
    if (r <= 0) {
        errno = ETIMEDOUT;
        return -1;
    }
    memset(b, 0, sizeof *b);
    b->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    b->memory = c->mem;
    return xio(c->fd, VIDIOC_DQBUF, b);
}

static void cam_on(struct cam *c) {
    for (int i = 0; i < c->n; i++)
        CK(cam_q(c, i));
    int t = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    CK(xio(c->fd, VIDIOC_STREAMON, &t));
}

static void cam_off(struct cam *c) {
    int t = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    CK(xio(c->fd, VIDIOC_STREAMOFF, &t));
}

static int capture(int argc, char **a, int mode) {
    struct cam c;
    struct v4l2_buffer b;
    int n = atoi(a[4]), bad = 0;
    unsigned last = 0, lost = 0;
    cam_open(&c, a);
    if (mode == 0 && argc > 5) {
        struct v4l2_streamparm p = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE};
        p.parm.capture.timeperframe.numerator = 1;
        p.parm.capture.timeperframe.denominator = atoi(a[5]);
        CK(xio(c.fd, VIDIOC_S_PARM, &p));
        printf("interval %u/%u\n", p.parm.capture.timeperframe.numerator,
               p.parm.capture.timeperframe.denominator);
    }
    cam_bufs(&c, mode == 2 ? V4L2_MEMORY_DMABUF : V4L2_MEMORY_MMAP);
    unsigned char *dm[8] = {0};
    for (int i = 0; i < c.n && mode; i++) {
        if (mode == 1) {
            struct v4l2_exportbuffer e = {
                .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .index = i, .flags = O_CLOEXEC | O_RDWR};
            CK(xio(c.fd, VIDIOC_EXPBUF, &e));
            c.dfd[i] = e.fd;
        } else {
            size_t l = (c.len + 4095) & ~4095ul;
            c.dfd[i] = !strcmp(a[5], "heap") ? heap_alloc("system", l) : udma_alloc(l);
        }
        dm[i] = mmap(0, c.len, PROT_READ, MAP_SHARED, c.dfd[i], 0);
        if (dm[i] == MAP_FAILED) {
            perror("mmap dma-buf");
            return 1;
        }
    }
    cam_on(&c);
    double t0 = 0, t1 = 0;
    unsigned char *copy = malloc(c.len);
    unsigned sum = 0;
    for (int k = 0; k < n; k++) {
        CK(cam_dq(&c, &b, 5000));
        t1 = now();
        if (!k)
            t0 = t1;
        else if ((int)(b.sequence - last) > 1)
            lost += b.sequence - last - 1;
        last = b.sequence;
        if (b.flags & V4L2_BUF_FLAG_ERROR)
            bad++;
        if (mode) {
            struct dma_buf_sync s = {DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ};
            if (xio(c.dfd[b.index], DMA_BUF_IOCTL_SYNC, &s) < 0) {
                perror("DMA_BUF_IOCTL_SYNC");
                bad++;
            }
            memcpy(copy, dm[b.index], b.bytesused);
            s.flags = DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ;
            xio(c.dfd[b.index], DMA_BUF_IOCTL_SYNC, &s);
            if (mode == 1 && memcmp(copy, c.map[b.index], b.bytesused))
                bad++;
        } else
            memcpy(copy, c.map[b.index], b.bytesused);
        unsigned h = 0;
        for (unsigned i = 0; i < b.bytesused; i += 997)
            h = h * 31 + copy[i];
        sum += h;
        if (!h)
            bad++;
        CK(cam_q(&c, b.index));
    }
    cam_off(&c);
    if (mode == 1) { // an exported buffer must outlive REQBUFS(0) and close
        for (int i = 0; i < c.n; i++)
            munmap(c.map[i], c.len);
        struct v4l2_requestbuffers r = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
                                        .memory = V4L2_MEMORY_MMAP};
        int rr = xio(c.fd, VIDIOC_REQBUFS, &r);
        printf("REQBUFS(0) with exports alive: %s\n", rr ? strerror(errno) : "ok");
        close(c.fd);
        if (memcmp(copy, dm[b.index], b.bytesused))
            bad++;
    }
    printf("%d frames in %.3f s = %.2f fps, lost %u, bad %d, hash %08x\n", n, t1 - t0,
           (n - 1) / (t1 - t0), lost, bad, sum);
    return bad != 0;
}

static int hold(char **a) {
    char *f[] = {a[0], "640", "480", "YUYV"};
    struct cam c;
    struct v4l2_buffer b;
    double end = now() + atof(a[1]);
    int k = 0;
    cam_open(&c, f);
    cam_bufs(&c, V4L2_MEMORY_MMAP);
    cam_on(&c);
    while (now() < end) {
        struct pollfd p = {c.fd, POLLIN | POLLPRI, 0};
        int r = poll(&p, 1, 1000);
        if (cam_dq(&c, &b, 0) < 0) {
            printf("after %d frames: poll=%d revents=%#x DQBUF: %s\n", k, r, p.revents,
                   strerror(errno));
            fflush(stdout);
            if (errno == ENODEV)
                return 0;
            usleep(200000);
        } else {
            k++;
            if (cam_q(&c, b.index) < 0)
                printf("QBUF: %s\n", strerror(errno));
        }
    }
    printf("held, %d frames\n", k);
    return 0;
}

static int uevents(double secs) {
    struct sockaddr_nl sa = {.nl_family = AF_NETLINK, .nl_groups = 1};
    int s = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
    CK(s);
    CK(bind(s, (void *)&sa, sizeof sa));
    double end = now() + secs;
    char buf[8192];
    while (now() < end) {
        struct pollfd p = {s, POLLIN, 0};
        if (poll(&p, 1, (int)((end - now()) * 1000) + 1) <= 0)
            continue;
        int n = recv(s, buf, sizeof buf - 1, 0);
        if (n <= 0)
            continue;
        buf[n] = 0;
        const char *dev = "";
        for (char *q = buf; q < buf + n; q += strlen(q) + 1)
            if (!strncmp(q, "DEVNAME=", 8))
                dev = q + 8;
        printf("uevent %s%s%s\n", buf, *dev ? " /dev/" : "", dev);
        fflush(stdout);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 2)
        return 2;
    char **a = argv + 2;
    int n = argc - 2;
    if (!strcmp(argv[1], "mmap") && n >= 5)
        return capture(n, a, 0);
    if (!strcmp(argv[1], "expbuf") && n >= 5)
        return capture(n, a, 1);
    if (!strcmp(argv[1], "import") && n >= 6)
        return capture(n, a, 2);
    if (!strcmp(argv[1], "heap"))
        return check_buf("dma-heap", heap_alloc(n ? a[0] : "system", 1 << 20), 1 << 20);
    if (!strcmp(argv[1], "udmabuf"))
        return check_buf("udmabuf", udma_alloc(1 << 20), 1 << 20);
    if (!strcmp(argv[1], "uevents") && n)
        return uevents(atof(a[0]));
    if (!strcmp(argv[1], "hold") && n >= 2)
        return hold(a);
    return 2;
}
