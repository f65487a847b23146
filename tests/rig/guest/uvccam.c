// uvccam: a USB Video Class camera in userspace, on raw-gadget and dummy_hcd, so that the guest's
// real uvcvideo driver binds to it. Streams by bulk transfers: dummy_hcd has no isochronous ones,
// which rules out the kernel's own webcam gadget.
//
//   uvccam [-n UDC] [-s SERIAL] [-p PRODUCT] [options]
//     -n UDC  which dummy_udc (modprobe dummy_hcd num=2 gives 0 and 1)
//     -u N    unplug (exit) after N frames
//     -z N    freeze after N frames, stay plugged
//     -e N    mark every Nth frame with the ERR bit, cut short
//     -g N    every Nth MJPEG frame is garbage
//     -D      leave the DHT segment out, as many cameras do
//     -f HZ   cap the frame rate
//     -v      log requests
//
// SIGTERM and SIGINT unplug. The picture: eight moving colour bars; the top-left row of 8x8 blocks
// is the 32-bit frame number, most significant bit first, white is 1.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/usb/raw_gadget.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define PAYLOAD 16384u
#define CHUNK 4096u
static int fd, verbose, udc, no_dht, ep = -1;
static long unplug_at, freeze_at, err_every, junk_every;
static double max_hz = 0;
static const char *serial = "LENSD0001", *product = "lensd rig camera";

static const struct {
    uint16_t w, h;
} sizes[] = {{640, 480}, {320, 240}, {1280, 720}, {1920, 1080}};

static const uint32_t ivals[] = {166666, 333333, 400000, 666666, 2000000}; // 60 30 25 15 5
#define NS (sizeof sizes / sizeof *sizes)
#define NI (sizeof ivals / sizeof *ivals)
#define LOG(...)                                                                                   \
    do {                                                                                           \
        if (verbose)                                                                               \
            fprintf(stderr, "uvccam: " __VA_ARGS__);                                               \
    } while (0)

// ---- descriptors -----------------------------------------------------
static uint8_t cfg[1024];
static unsigned clen;

static void put(const void *p, unsigned n) {
    memcpy(cfg + clen, p, n);
    clen += n;
}

#define PUT(...)                                                                                   \
    do {                                                                                           \
        uint8_t b_[] = {__VA_ARGS__};                                                              \
        put(b_, sizeof b_);                                                                        \
    } while (0)
#define W(x) (uint8_t)(x), (uint8_t)((x) >> 8)
#define D(x) W(x), W((x) >> 16)

static void frames(int sub) {
    for (unsigned i = 0; i < NS; i++) {
        uint32_t sz = sizes[i].w * sizes[i].h * 2;
        PUT(26 + 4 * NI, 0x24, sub, i + 1, 0, W(sizes[i].w), W(sizes[i].h), D(sz * 8u * 5),
            D(sz * 8u * 60), D(sz), D(ivals[1]), NI);
        for (unsigned k = 0; k < NI; k++)
            PUT(D(ivals[k]));
    }
}

static void build_config(void) {
    unsigned p, q;
    PUT(9, 2, W(0), 2, 1, 0, 0x80, 250);
    PUT(8, 11, 0, 2, 0x0e, 3, 0, 0);   // IAD
    PUT(9, 4, 0, 0, 0, 0x0e, 1, 0, 0); // video control
    p = clen;
    PUT(13, 0x24, 1, W(0x0110), W(0), D(48000000), 1, 1);
    PUT(18, 0x24, 2, 1, W(0x0201), 0, 0, W(0), W(0), W(0), 3, 0x0a, 0x00,
        0x00); // camera: AE mode, exposure time
    PUT(12, 0x24, 5, 2, 1, W(0), 2, 0x4b, 0x14, 0,
        0); // brightness contrast saturation wbtemp powerline wbauto
    PUT(9, 0x24, 3, 3, W(0x0101), 0, 2, 0);
    cfg[p + 5] = clen - p;
    cfg[p + 6] = (clen - p) >> 8;
    PUT(9, 4, 1, 0, 1, 0x0e, 2, 0, 0); // video streaming
    q = clen;
    PUT(15, 0x24, 1, 2, W(0), 0x81, 0, 3, 0, 0, 0, 1, 0, 0);
    PUT(11, 0x24, 6, 1, NS, 0, 1, 0, 0, 0, 0);
    frames(7);
    PUT(6, 0x24, 0x0d, 1, 1, 4);
    PUT(27, 0x24, 4, 2, NS, 'Y', 'U', 'Y', '2', 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b,
        0x71, 16, 1, 0, 0, 0, 0);
    frames(5);
    PUT(6, 0x24, 0x0d, 1, 1, 4);
    cfg[q + 4] = clen - q;
    cfg[q + 5] = (clen - q) >> 8;
    PUT(7, 5, 0x81, 2, W(512), 0);
    cfg[2] = clen;
    cfg[3] = clen >> 8;
}
static const struct usb_endpoint_descriptor ep_desc = {.bLength = 7,
                                                       .bDescriptorType = 5,
                                                       .bEndpointAddress = 0x81,
                                                       .bmAttributes = 2,
                                                       .wMaxPacketSize = 512};
static const uint8_t dev_desc[] = {18,        1,         W(0x0200), 0xef, 2, 1, 64,
                                   W(0x1d6b), W(0x0107), W(0x0100), 1,    2, 3, 1};
static const uint8_t qual_desc[] = {10, 6, W(0x0200), 0xef, 2, 1, 64, 1, 0};

// ---- controls --------------------------------------------------------
static struct ctl {
    uint8_t ent, sel, len;
    int32_t min, max, res, def, cur;
} ctls[] = {
    {1, 2, 1, 0, 0, 9, 8, 8},               // AE mode: res is the bitmap manual(1)|aperture(8)
    {1, 4, 4, 1, 10000, 1, 156, 156},       // exposure time, 100 us
    {2, 2, 2, -64, 64, 1, 0, 0},            // brightness
    {2, 3, 2, 0, 95, 1, 32, 32},            // contrast
    {2, 7, 2, 0, 100, 1, 55, 55},           // saturation
    {2, 10, 2, 2800, 6500, 10, 4600, 4600}, // white balance temperature
    {2, 11, 1, 0, 1, 1, 1, 1},              // white balance auto
    {2, 5, 1, 0, 2, 1, 1, 1},               // power line frequency
};

struct probe {
    uint16_t hint;
    uint8_t fmt, frame;
    uint32_t ival;
    uint16_t a, b, c, d, delay;
    uint32_t size, payload;
    uint32_t clock;
    uint8_t framing, ver, minv, maxv;
} __attribute__((packed));
static struct probe probe, commit;
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cv = PTHREAD_COND_INITIALIZER;
static volatile int gen;
static pthread_t streamer;

static void fix_probe(struct probe *p) {
    if (p->fmt < 1 || p->fmt > 2)
        p->fmt = 1;
    if (p->frame < 1 || p->frame > NS)
        p->frame = 1;
    unsigned best = 1;
    if (p->ival)
        for (unsigned i = best = 0; i < NI; i++)
            if (labs((long)ivals[i] - (long)p->ival) < labs((long)ivals[best] - (long)p->ival))
                best = i;
    p->ival = ivals[best];
    p->hint = 1;
    p->size = sizes[p->frame - 1].w * sizes[p->frame - 1].h * 2;
    p->payload = PAYLOAD;
    p->clock = 48000000;
    p->framing = 3;
    p->ver = p->minv = p->maxv = 1;
    p->delay = 0;
}

// ---- pictures --------------------------------------------------------
static const uint8_t bars[8][3] = {{235, 128, 128}, {210, 16, 146}, {170, 166, 16}, {145, 54, 34},
                                   {106, 202, 222}, {81, 90, 240},  {41, 240, 110}, {16, 128, 128}};

static const uint8_t *pix(unsigned n, unsigned bx, unsigned by, unsigned nbx) {
    if (by == 0 && bx < 32)
        return bars[(n >> (31 - bx)) & 1 ? 0 : 7];
    return bars[((bx * 8 / nbx) + n / 4 + (by / 8)) & 7];
}

static unsigned yuyv(uint8_t *o, unsigned w, unsigned h, unsigned n) {
    for (unsigned y = 0; y < h; y++) {
        uint8_t *l = o + y * w * 2;
        if (y & 7) {
            memcpy(l, l - w * 2, w * 2);
            continue;
        }
        for (unsigned x = 0; x < w; x += 2, l += 4) {
            const uint8_t *c = pix(n, x / 8, y / 8, w / 8);
            l[0] = l[2] = c[0];
            l[1] = c[1];
            l[3] = c[2];
        }
    }
    return w * h * 2;
}

static uint8_t *bo;
static uint32_t bacc;
static int bcnt;

static void bits(unsigned v, int n) {
    for (bacc = (bacc << n) | v, bcnt += n; bcnt >= 8; bcnt -= 8) {
        uint8_t b = bacc >> (bcnt - 8);
        *bo++ = b;
        if (b == 0xff)
            *bo++ = 0;
    }
    bacc &= (1u << bcnt) - 1;
}

static void dc(int diff, int chroma) { // standard DC code, then EOB
    static const uint8_t lc[9] = {0, 2, 3, 4, 5, 6, 14, 30, 62},
                         ll[9] = {2, 3, 3, 3, 3, 3, 4, 5, 6};
    static const uint8_t cc[9] = {0, 1, 2, 6, 14, 30, 62, 126, 254},
                         cl[9] = {2, 2, 2, 3, 4, 5, 6, 7, 8};
    int a = abs(diff), k = 0;
    while (a >> k)
        k++;
    if (chroma)
        bits(cc[k], cl[k]);
    else
        bits(lc[k], ll[k]);
    if (k)
        bits(diff < 0 ? diff + (1 << k) - 1 : diff, k);
    if (chroma)
        bits(0, 2);
    else
        bits(10, 4);
}

static unsigned mjpeg(uint8_t *o, unsigned w, unsigned h, unsigned n) { // baseline 4:2:2, DC only
    bo = o;
    bacc = bcnt = 0;
#define O(...)                                                                                     \
    do {                                                                                           \
        uint8_t b_[] = {__VA_ARGS__};                                                              \
        memcpy(bo, b_, sizeof b_);                                                                 \
        bo += sizeof b_;                                                                           \
    } while (0)
    O(0xff, 0xd8, 0xff, 0xdb, 0, 67, 0);
    memset(bo, 8, 64);
    bo += 64;
    O(0xff, 0xc0, 0, 17, 8, h >> 8, h, w >> 8, w, 3, 1, 0x21, 0, 2, 0x11, 0, 3, 0x11, 0);
    if (!no_dht) {
        O(0xff, 0xc4, 0, 31, 0x00, 0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5,
          6, 7, 8, 9, 10, 11);
        O(0xff, 0xc4, 0, 23, 0x10, 0, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 0);
        O(0xff, 0xc4, 0, 31, 0x01, 0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5,
          6, 7, 8, 9, 10, 11);
        O(0xff, 0xc4, 0, 20, 0x11, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    }
    O(0xff, 0xda, 0, 12, 3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0);
    int py = 128, pb = 128, pr = 128;
    for (unsigned by = 0; by < (h + 7) / 8; by++)
        for (unsigned bx = 0; bx < (w + 15) / 16 * 2; bx += 2) {
            const uint8_t *a = pix(n, bx, by, w / 8), *b = pix(n, bx + 1, by, w / 8);
            dc(a[0] - py, 0);
            dc(b[0] - a[0], 0);
            py = b[0];
            dc(a[1] - pb, 1);
            pb = a[1];
            dc(a[2] - pr, 1);
            pr = a[2];
        }
    if (bcnt)
        bits((1u << (8 - bcnt)) - 1, 8 - bcnt);
    O(0xff, 0xd9);
    return bo - o;
}

// ---- streaming -------------------------------------------------------
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int ep_write(const uint8_t *p, unsigned n, int zlp) {
    static struct {
        struct usb_raw_ep_io io;
        uint8_t d[CHUNK];
    } m;

    m.io.ep = ep;
    m.io.flags = zlp ? USB_RAW_IO_FLAGS_ZERO : 0;
    m.io.length = n;
    memcpy(m.d, p, n);
    return ioctl(fd, USB_RAW_IOCTL_EP_WRITE, &m);
}

static int send_frame(const uint8_t *p, unsigned n, unsigned seq, int err) {
    static uint8_t pl[PAYLOAD];
    for (unsigned off = 0; off < n;) {
        unsigned k = n - off > PAYLOAD - 12 ? PAYLOAD - 12 : n - off;
        uint32_t pts = (uint32_t)(now() * 48e6);
        uint8_t h[12] = {12, (seq & 1) | (off + k == n ? 2 : 0) | 0x80 | 4 | 8 | (err ? 0x40 : 0),
                         D(pts), D(pts), W((unsigned)(now() * 1000) & 0x7ff)};
        memcpy(pl, h, 12);
        memcpy(pl + 12, p + off, k);
        off += k;
        k += 12;
        for (unsigned o = 0; o < k; o += CHUNK) {
            unsigned c = k - o > CHUNK ? CHUNK : k - o;
            int r = ep_write(pl + o, c, o + c == k && k < PAYLOAD && c % 512 == 0);
            if (r < 0)
                return -1;
        }
    }
    return 0;
}

static void *stream(void *arg) {
    (void)arg;
    static uint8_t buf[1920 * 1080 * 2 + 1024];
    unsigned seq = 0;
    for (int g = 0;;) {
        pthread_mutex_lock(&mu);
        while (gen == g)
            pthread_cond_wait(&cv, &mu);
        g = gen;
        struct probe c = commit;
        pthread_mutex_unlock(&mu);
        if (c.fmt == 0)
            continue;
        unsigned w = sizes[c.frame - 1].w, h = sizes[c.frame - 1].h;
        double step = c.ival / 1e7, next = now();
        if (max_hz > 0 && step < 1 / max_hz)
            step = 1 / max_hz;
        LOG("stream %s %ux%u every %.1f ms\n", c.fmt == 1 ? "MJPEG" : "YUYV", w, h, step * 1e3);
        while (g == gen) {
            seq++;
            if (unplug_at && seq > unplug_at) {
                fprintf(stderr, "uvccam: unplug\n");
                _exit(0);
            }
            if (freeze_at && seq > freeze_at) {
                pause();
                continue;
            }
            int err = err_every && seq % err_every == 0;
            unsigned n = c.fmt == 1 ? mjpeg(buf, w, h, seq) : yuyv(buf, w, h, seq);
            if (junk_every && c.fmt == 1 && seq % junk_every == 0)
                for (unsigned i = 0; i < n; i++)
                    buf[i] = rand();
            if (err)
                n /= 2;
            if (send_frame(buf, n, seq, err) < 0) {
                LOG("write: %s\n", strerror(errno));
                if (errno == ESHUTDOWN || errno == ENODEV)
                    break;
                usleep(1000);
                continue;
            }
            next += step;
            double d = next - now();
            if (d < -1)
                next = now();
            else if (d > 0)
                usleep(d * 1e6);
        }
    }
}

static void new_stream(int on) {
    pthread_mutex_lock(&mu);
    commit = probe;
    if (!on)
        commit.fmt = 0;
    gen++;
    pthread_cond_broadcast(&cv);
    pthread_mutex_unlock(&mu);
    pthread_kill(streamer, SIGUSR1); // drop the transfer a stopped host left behind
}

// ---- ep0 -------------------------------------------------------------
static struct {
    struct usb_raw_ep_io io;
    uint8_t d[1024];
} io0;

static int ep0_in(const void *p, unsigned n, unsigned max) {
    if (n > max)
        n = max;
    io0.io.ep = io0.io.flags = 0;
    io0.io.length = n;
    memcpy(io0.d, p, n);
    return ioctl(fd, USB_RAW_IOCTL_EP0_WRITE, &io0);
}

static int ep0_out(unsigned n) {
    if (n > sizeof io0.d)
        n = sizeof io0.d;
    io0.io.ep = io0.io.flags = 0;
    io0.io.length = n;
    return ioctl(fd, USB_RAW_IOCTL_EP0_READ, &io0);
}

static int std_req(const struct usb_ctrlrequest *r) {
    uint8_t s[128];
    switch (r->bRequest) {
    case USB_REQ_GET_DESCRIPTOR:
        switch (r->wValue >> 8) {
        case 1:
            return ep0_in(dev_desc, sizeof dev_desc, r->wLength);
        case 2:
            return ep0_in(cfg, clen, r->wLength);
        case 6:
            return ep0_in(qual_desc, sizeof qual_desc, r->wLength);
        case 3: {
            int i = r->wValue & 255;
            if (!i)
                return ep0_in("\4\3\11\4", 4, r->wLength);
            const char *t = i == 1 ? "lensd" : i == 2 ? product : i == 3 ? serial : 0;
            if (!t)
                return -2;
            unsigned n = strlen(t);
            if (n > 60)
                n = 60;
            s[0] = 2 + 2 * n;
            s[1] = 3;
            for (unsigned k = 0; k < n; k++) {
                s[2 + 2 * k] = t[k];
                s[3 + 2 * k] = 0;
            }
            return ep0_in(s, s[0], r->wLength);
        }
        }
        return -2;
    case USB_REQ_SET_CONFIGURATION:
        if (ep < 0 && (ep = ioctl(fd, USB_RAW_IOCTL_EP_ENABLE, &ep_desc)) < 0)
            perror("EP_ENABLE");
        ioctl(fd, USB_RAW_IOCTL_VBUS_DRAW, 250);
        ioctl(fd, USB_RAW_IOCTL_CONFIGURE, 0);
        return ep0_out(0);
    case USB_REQ_SET_INTERFACE:
        new_stream(0);
        return ep0_out(0);
    case USB_REQ_GET_INTERFACE:
        s[0] = 0;
        return ep0_in(s, 1, r->wLength);
    case USB_REQ_GET_STATUS:
        s[0] = s[1] = 0;
        return ep0_in(s, 2, r->wLength);
    }
    return -2;
}

static int class_req(const struct usb_ctrlrequest *r) {
    int sel = r->wValue >> 8, ent = r->wIndex >> 8, ifc = r->wIndex & 255;
    uint8_t o[64];
    if (ifc == 1) { // probe / commit
        struct probe p = probe;
        switch (r->bRequest) {
        case 0x01: // SET_CUR
            if (ep0_out(r->wLength) < 0)
                return -1;
            memset(&p, 0, sizeof p);
            memcpy(&p, io0.d, r->wLength < sizeof p ? r->wLength : sizeof p);
            fix_probe(&p);
            probe = p;
            if (sel == 2)
                new_stream(1);
            return 0;
        case 0x82:
            memset(&p, 0, sizeof p);
            p.fmt = p.frame = 1;
            p.ival = ivals[0];
            fix_probe(&p);
            return ep0_in(&p, sizeof p, r->wLength);
        case 0x83:
            memset(&p, 0, sizeof p);
            p.fmt = 2;
            p.frame = NS;
            p.ival = ivals[NI - 1];
            fix_probe(&p);
            return ep0_in(&p, sizeof p, r->wLength);
        case 0x81:
        case 0x87:
            fix_probe(&p);
            return ep0_in(&p, sizeof p, r->wLength);
        case 0x85:
            o[0] = sizeof p;
            o[1] = 0;
            return ep0_in(o, 2, r->wLength);
        case 0x86:
            o[0] = 3;
            return ep0_in(o, 1, r->wLength);
        }
        return -2;
    }
    if (ent == 0 && sel == 2) {
        o[0] = 6;
        return ep0_in(o, 1, r->wLength);
    } // request error code: invalid control
    for (unsigned i = 0; i < sizeof ctls / sizeof *ctls; i++) {
        struct ctl *c = &ctls[i];
        if (c->ent != ent || c->sel != sel)
            continue;
        int32_t v = 0;
        switch (r->bRequest) {
        case 0x01: {
            if (ep0_out(r->wLength) < 0)
                return -1;
            memcpy(&v, io0.d, c->len);
            if (c->len == 2)
                v = (int16_t)v;
            c->cur = v;
            LOG("control %d/%d = %d\n", ent, sel, v);
            return 0;
        }
        case 0x81:
            v = c->cur;
            break;
        case 0x82:
            v = c->min;
            break;
        case 0x83:
            v = c->max;
            break;
        case 0x84:
            v = c->res;
            break;
        case 0x87:
            v = c->def;
            break;
        case 0x85:
            o[0] = c->len;
            o[1] = 0;
            return ep0_in(o, 2, r->wLength);
        case 0x86:
            o[0] = 3;
            return ep0_in(o, 1, r->wLength);
        default:
            return -2;
        }
        return ep0_in(&v, c->len, r->wLength);
    }
    return -2;
}

static void nop(int s) { (void)s; }

int main(int argc, char **argv) {
    int o;
    while ((o = getopt(argc, argv, "n:s:p:u:z:e:g:f:Dv")) != -1)
        switch (o) {
        case 'n':
            udc = atoi(optarg);
            break;
        case 's':
            serial = optarg;
            break;
        case 'p':
            product = optarg;
            break;
        case 'u':
            unplug_at = atol(optarg);
            break;
        case 'z':
            freeze_at = atol(optarg);
            break;
        case 'e':
            err_every = atol(optarg);
            break;
        case 'g':
            junk_every = atol(optarg);
            break;
        case 'f':
            max_hz = atof(optarg);
            break;
        case 'D':
            no_dht = 1;
            break;
        case 'v':
            verbose = 1;
            break;
        default:
            return 2;
        }
    signal(SIGPIPE, SIG_IGN);
    struct sigaction sa = {.sa_handler = nop};
    sigaction(SIGUSR1, &sa, 0);
    fix_probe(&probe);
    build_config();
    fd = open("/dev/raw-gadget", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        perror("/dev/raw-gadget");
        return 1;
    }
    struct usb_raw_init in = {.speed = USB_SPEED_HIGH};
    strcpy((char *)in.driver_name, "dummy_udc");
    sprintf((char *)in.device_name, "dummy_udc.%d", udc);
    if (ioctl(fd, USB_RAW_IOCTL_INIT, &in) < 0 || ioctl(fd, USB_RAW_IOCTL_RUN, 0) < 0) {
        perror("raw-gadget init/run");
        return 1;
    }
    pthread_create(&streamer, 0, stream, 0);
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &s, 0);
    for (;;) {
        struct {
            struct usb_raw_event e;
            struct usb_ctrlrequest r;
        } ev = {.e = {.length = sizeof(struct usb_ctrlrequest)}};

        if (ioctl(fd, USB_RAW_IOCTL_EVENT_FETCH, &ev) < 0) {
            if (errno == EINTR)
                continue;
            perror("event");
            return 1;
        }
        if (ev.e.type != USB_RAW_EVENT_CONTROL) {
            LOG("event %u\n", ev.e.type);
            continue;
        }
        struct usb_ctrlrequest *r = &ev.r;
        int t = r->bRequestType & USB_TYPE_MASK;
        int rc = t == USB_TYPE_STANDARD ? std_req(r) : t == USB_TYPE_CLASS ? class_req(r) : -2;
        LOG("req %02x %02x val %04x idx %04x len %u -> %s\n", r->bRequestType, r->bRequest,
            r->wValue, r->wIndex, r->wLength,
            rc == -2 ? "stall"
            : rc < 0 ? strerror(errno)
                     : "ok");
        if (rc == -2)
            ioctl(fd, USB_RAW_IOCTL_EP0_STALL, 0);
    }
}
