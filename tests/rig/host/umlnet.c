// umlnet: runs a User Mode Linux guest with a network and a time limit, without root or tap.
//
//   umlnet [-l SECONDS] [-t HOST:GUEST]... [-u HOST:GUEST]... FD COMMAND...
//
// The network is libslirp's (what qemu's "-netdev user" uses): guest 10.0.2.15, host 10.0.2.2.
// COMMAND gets the link as descriptor FD (vec0:transport=fd,fd=FD). -t and -u forward TCP and UDP
// ports of 127.0.0.1 to the guest.
//
// Exits with COMMAND's status, 124 at the time limit, 125 if it could not start. COMMAND runs in a
// process group of its own and all of it is killed at the end, also when umlnet's parent dies: a
// killed UML kernel leaves helper processes behind that hold its pipes open.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RIG_TIMEOUT = 124, RIG_FAILED = 125, MAX_FORWARDS = 64, LONGEST_WAIT_MS = 200 };

static int link_fd;
static Slirp *net;

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

// ---- what libslirp calls --------------------------------------------------------------------

struct timer {
    SlirpTimerCb fire;
    void *arg;
    int64_t at_ms; // -1: not set
    struct timer *next;
};

static struct timer *timers;

static int64_t clock_get_ns(void *opaque) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

// A full link loses the packet, as a wire does.
static ssize_t send_packet(const void *packet, size_t len, void *opaque) {
    ssize_t sent = send(link_fd, packet, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? (ssize_t)len : sent;
}

static void guest_error(const char *message, void *opaque) {
    fprintf(stderr, "umlnet: %s\n", message);
}

static void *timer_new(SlirpTimerCb fire, void *arg, void *opaque) {
    struct timer *t = calloc(1, sizeof *t);
    *t = (struct timer){fire, arg, -1, timers};
    return timers = t;
}

static void timer_free(void *timer, void *opaque) {
    for (struct timer **p = &timers; *p; p = &(*p)->next)
        if (*p == timer) {
            *p = (*p)->next;
            break;
        }
    free(timer);
}

static void timer_mod(void *timer, int64_t at_ms, void *opaque) {
    ((struct timer *)timer)->at_ms = at_ms;
}

static void ignore_fd(int fd, void *opaque) {}

static void ignore(void *opaque) {}

static const SlirpCb callbacks = {
    .send_packet = send_packet,
    .guest_error = guest_error,
    .clock_get_ns = clock_get_ns,
    .timer_new = timer_new,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = ignore_fd,
    .unregister_poll_fd = ignore_fd,
    .notify = ignore,
};

// ---- one round of the network ---------------------------------------------------------------

static struct pollfd *polled;
static int polled_len, polled_cap;

static int add_poll(int fd, int events, void *opaque) {
    if (polled_len == polled_cap) {
        polled_cap = polled_cap ? polled_cap * 2 : 64;
        polled = realloc(polled, polled_cap * sizeof *polled);
    }
    short wanted = (events & SLIRP_POLL_IN ? POLLIN : 0) | (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
                   (events & SLIRP_POLL_PRI ? POLLPRI : 0);
    polled[polled_len] = (struct pollfd){fd, wanted, 0};
    return polled_len++;
}

static int poll_result(int index, void *opaque) {
    int r = polled[index].revents;
    return (r & POLLIN ? SLIRP_POLL_IN : 0) | (r & POLLOUT ? SLIRP_POLL_OUT : 0) |
           (r & POLLPRI ? SLIRP_POLL_PRI : 0) | (r & POLLERR ? SLIRP_POLL_ERR : 0) |
           (r & POLLHUP ? SLIRP_POLL_HUP : 0);
}

static void network_round(void) {
    uint32_t wait_ms = LONGEST_WAIT_MS;
    polled_len = 0;
    add_poll(link_fd, SLIRP_POLL_IN, 0);
    slirp_pollfds_fill(net, &wait_ms, add_poll, 0);
    for (struct timer *t = timers; t; t = t->next) {
        int64_t left = t->at_ms - now_ms();
        if (t->at_ms >= 0 && left < (int64_t)wait_ms)
            wait_ms = left > 0 ? left : 0;
    }

    int ready = poll(polled, polled_len, wait_ms > LONGEST_WAIT_MS ? LONGEST_WAIT_MS : wait_ms);
    if (ready > 0 && polled[0].revents & POLLIN) {
        static uint8_t packet[65536];
        for (ssize_t n; (n = recv(link_fd, packet, sizeof packet, MSG_DONTWAIT)) > 0;)
            slirp_input(net, packet, n);
    }
    slirp_pollfds_poll(net, ready < 0, poll_result, 0);

    for (struct timer *t = timers; t; t = t->next)
        if (t->at_ms >= 0 && t->at_ms <= now_ms()) {
            t->at_ms = -1;
            t->fire(t->arg);
            break; // it may have changed the list; the others fire in the next round
        }
}

// ---- the guest ------------------------------------------------------------------------------

static volatile sig_atomic_t stop_signal;

static void on_signal(int signal) { stop_signal = signal; }

static int usage(void) {
    fprintf(stderr, "usage: umlnet [-l SECONDS] [-t HOST:GUEST] [-u HOST:GUEST] FD COMMAND...\n");
    return RIG_FAILED;
}

static int status_of(int wait_status) {
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

int main(int argc, char **argv) {
    struct {
        int udp, host, guest;
    } forwards[MAX_FORWARDS];
    int forwards_len = 0;
    int64_t limit_ms = INT64_MAX / 2;
    for (int option; (option = getopt(argc, argv, "+l:t:u:")) != -1;) {
        if (option == 'l') {
            limit_ms = atof(optarg) * 1000;
        } else if ((option == 't' || option == 'u') && forwards_len < MAX_FORWARDS &&
                   sscanf(optarg, "%d:%d", &forwards[forwards_len].host,
                          &forwards[forwards_len].guest) == 2) {
            forwards[forwards_len++].udp = option == 'u';
        } else {
            return usage();
        }
    }
    if (argc - optind < 2)
        return usage();
    int guest_fd = atoi(argv[optind]);
    char **command = argv + optind + 1;

    prctl(PR_SET_PDEATHSIG, SIGTERM); // the caller was killed: end the guest too
    struct sigaction on_stop = {.sa_handler = on_signal}; // no SA_RESTART: poll returns
    sigaction(SIGTERM, &on_stop, 0);
    sigaction(SIGINT, &on_stop, 0);
    sigaction(SIGHUP, &on_stop, 0);

    int link[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, link)) {
        perror("umlnet: socketpair");
        return RIG_FAILED;
    }
    int buffer_bytes = 4 << 20;
    for (int i = 0; i < 2; i++)
        setsockopt(link[i], SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
    link_fd = link[0];

    SlirpConfig config = {.version = 1, .in_enabled = true, .if_mtu = 1500, .if_mru = 1500};
    inet_aton("10.0.2.0", &config.vnetwork);
    inet_aton("255.255.255.0", &config.vnetmask);
    inet_aton("10.0.2.2", &config.vhost);
    inet_aton("10.0.2.15", &config.vdhcp_start);
    inet_aton("10.0.2.3", &config.vnameserver);
    if (!(net = slirp_new(&config, &callbacks, 0))) {
        fprintf(stderr, "umlnet: slirp_new failed\n");
        return RIG_FAILED;
    }
    struct in_addr loopback, guest;
    inet_aton("127.0.0.1", &loopback);
    inet_aton("10.0.2.15", &guest);
    for (int i = 0; i < forwards_len; i++)
        if (slirp_add_hostfwd(net, forwards[i].udp, loopback, forwards[i].host, guest,
                              forwards[i].guest)) {
            fprintf(stderr, "umlnet: cannot listen on port %d: %s\n", forwards[i].host,
                    strerror(errno));
            return RIG_FAILED;
        }

    pid_t me = getpid(), child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != me)
            _exit(RIG_FAILED);
        setpgid(0, 0);
        if (link[1] == guest_fd)
            link[1] = dup(link[1]); // dup2 onto itself would keep close-on-exec
        dup2(link[1], guest_fd);
        execvp(command[0], command);
        perror(command[0]);
        _exit(RIG_FAILED);
    }
    close(link[1]);
    setpgid(child, child);
    prctl(PR_SET_CHILD_SUBREAPER, 1); // UML's helpers become ours, to be reaped

    for (int64_t deadline_ms = now_ms() + limit_ms;;) {
        int late = now_ms() >= deadline_ms;
        if (stop_signal || late) {
            kill(-child, SIGKILL);
            kill(child, SIGKILL);
        }
        int status;
        for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
            if (pid == child) {
                kill(-child, SIGKILL);
                while (waitpid(-1, 0, 0) > 0) {
                }
                return stop_signal ? 128 + stop_signal : late ? RIG_TIMEOUT : status_of(status);
            }
        network_round();
    }
}
