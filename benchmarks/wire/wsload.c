/* wsload: a load generator for WebSocket servers on this machine. One thread, one epoll, no TLS, no compression.
 *
 *   wsload --port 8000 --path /echo --mode ask --connections 64 --message hello
 *
 * It connects, warms up, measures, and prints one JSON object. In all modes "a message" is a text frame that the
 * server sent. Work is counted whole: it begins with nothing under way, new work is begun for --seconds, and it ends
 * when the last of it is answered.
 *
 *   ask      each connection sends --message, reads frames until one holds --final (any, if none is given), and
 *            sends again; --outstanding of them at once. With --rate, messages are sent that many times a second
 *            in all, by the connections in turn, whatever has been answered: latencies count from the moment at
 *            which a message was due.
 *   fanout   connection 0 sends --message (or, with --post, an HTTP request is made) and every connection is to
 *            get one frame that holds --final; when the last has it, the next is sent. --rate as above.
 *   hold     connects all, prints, and holds them until its standard input ends; then prints what came meanwhile.
 *
 * The server's processor time is read from the clocks of the processes --pids (all their threads, ended ones too).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- what is asked for ---- */

enum mode { ASK, FANOUT, HOLD };

static struct {
    int port;
    const char *path;        /* "{i}" stands for the connection's number */
    const char *subprotocol; /* offered, if any */
    const char *greeting;    /* a connection is ready once a frame holds this; without: once it is upgraded */
    enum mode mode;
    int connections;
    int handshakes;   /* in flight at once */
    int sources;      /* addresses to connect from, 127.0.0.2 and up; 1: the system's choice */
    const char *message;
    int outstanding;
    const char *expect; /* only frames that hold this in their first bytes count */
    const char *final;  /* the frame that ends an answer holds this in its last bytes */
    const char *post;   /* fanout: the path that an HTTP POST of --message goes to */
    double rate;        /* messages a second; 0: the next when the last is answered */
    double warm_up, seconds, patience;
    const char *pids;
} asked = {.path = "/", .mode = ASK, .connections = 64, .handshakes = 32, .sources = 1,
           .message = "", .outstanding = 1, .warm_up = 0.5, .seconds = 3, .patience = 120};

enum { HEAD = 160, TAIL = 4096, RING = 256 };

/* ---- clocks ---- */

typedef uint64_t nanoseconds;

static nanoseconds now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (nanoseconds)t.tv_sec * 1000000000u + (nanoseconds)t.tv_nsec;
}

static nanoseconds from_seconds(double seconds) { return (nanoseconds)(seconds * 1e9); }

/* On-CPU time of all server processes so far. */
static nanoseconds server_cpu(void) {
    nanoseconds total = 0;
    for (const char *place = asked.pids; place && *place;) {
        char *end;
        clockid_t clock;
        struct timespec t;
        long pid = strtol(place, &end, 10);
        if (end == place)
            break;
        if (clock_getcpuclockid((pid_t)pid, &clock) == 0 && clock_gettime(clock, &t) == 0)
            total += (nanoseconds)t.tv_sec * 1000000000u + (nanoseconds)t.tv_nsec;
        place = *end == ',' ? end + 1 : end;
    }
    return total;
}

static nanoseconds own_cpu(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (nanoseconds)t.tv_sec * 1000000000u + (nanoseconds)t.tv_nsec;
}

/* ---- latencies: in microseconds, to 14 significant bits ---- */

enum { EXACT = 14, HALF = 1 << (EXACT - 1), BUCKETS = 24 * HALF };

struct histogram {
    uint32_t buckets[BUCKETS];
    uint64_t count;
};

static void record(struct histogram *h, nanoseconds span) {
    uint64_t microseconds = span / 1000;
    unsigned dropped = 0; /* bits */
    while (microseconds >> dropped >= 2 * HALF)
        dropped++;
    uint64_t bucket = dropped * (uint64_t)HALF + (microseconds >> dropped);
    h->buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    h->count++;
}

static uint64_t least_of(unsigned bucket) {
    if (bucket < 2 * HALF)
        return bucket;
    unsigned dropped = bucket / HALF - 1;
    return (uint64_t)(bucket - dropped * HALF) << dropped;
}

/* Milliseconds that the given share of spans did not exceed; -1 if there are none. */
static double quantile(const struct histogram *h, double share) {
    uint64_t wanted = (uint64_t)(share * (double)(h->count ? h->count - 1 : 0)), seen = 0;
    for (unsigned i = 0; h->count && i < BUCKETS; i++)
        if ((seen += h->buckets[i]) > wanted)
            return (double)least_of(i) / 1000.0;
    return -1;
}

/* ---- connections ---- */

enum state { CONNECTING, UPGRADING, GREETED_NEXT, READY, CLOSED };

struct connection {
    int fd;
    enum state state;
    uint8_t *held; /* what was read of a frame that is not whole yet */
    size_t held_size, held_room;
    nanoseconds opened;
    nanoseconds sent[RING]; /* when each unanswered message was sent, or due */
    unsigned sends, answers;
    bool saw_first; /* of the answer that is being read */
};

static struct connection *connections;
static int poller, opened;
static struct {
    uint64_t ready, refused, lost, failed_writes, messages, bytes, finals, unexpected;
} count;
static struct histogram to_final, to_first, to_ready;
static bool running; /* new work is begun */
static bool measuring;
static uint64_t under_way; /* messages that are not answered whole, triggers that have not reached all */
static nanoseconds last_ready;

static void open_next(void);

static void give_up(struct connection *c) {
    if (c->state == CLOSED)
        return;
    bool was_ready = c->state == READY;
    c->state = CLOSED;
    close(c->fd);
    free(c->held);
    c->held = NULL;
    c->held_size = c->held_room = 0;
    if (was_ready) {
        count.lost++;
    } else {
        count.refused++;
        open_next();
    }
}

/* All that is written is small, so a socket that does not take it whole has a server that no longer reads. */
static void write_all(struct connection *c, const void *bytes, size_t size) {
    if (write(c->fd, bytes, size) != (ssize_t)size) {
        count.failed_writes++;
        give_up(c);
    }
}

static void watch(int operation, int fd, uint32_t events, void *whose) {
    struct epoll_event event = {.events = events, .data.ptr = whose};
    epoll_ctl(poller, operation, fd, &event);
}

/* A TCP connection under way to the server, or -1. */
static int dial(int number) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        perror("socket");
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (asked.sources > 1) {
        struct sockaddr_in source = {.sin_family = AF_INET};
        source.sin_addr.s_addr = htonl(0x7f000000u + 2 + (uint32_t)(number % asked.sources));
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(fd, (struct sockaddr *)&source, sizeof source) < 0)
            perror("bind");
    }
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)asked.port)};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS) {
        perror("connect");
        close(fd);
        return -1;
    }
    return fd;
}

static void open_next(void) {
    while (opened < asked.connections) {
        struct connection *c = &connections[opened];
        c->opened = now();
        c->fd = dial(opened++);
        if (c->fd >= 0) {
            c->state = CONNECTING;
            watch(EPOLL_CTL_ADD, c->fd, EPOLLOUT, c);
            return;
        }
        c->state = CLOSED;
        count.refused++;
    }
}

static void upgrade(struct connection *c) {
    int failure = 0;
    socklen_t size = sizeof failure;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &failure, &size);
    if (failure) {
        fprintf(stderr, "connect: %s\n", strerror(failure));
        give_up(c);
        return;
    }
    char path[1024], request[2048];
    const char *mark = strstr(asked.path, "{i}");
    if (mark)
        snprintf(path, sizeof path, "%.*s%d%s", (int)(mark - asked.path), asked.path, (int)(c - connections), mark + 3);
    else
        snprintf(path, sizeof path, "%s", asked.path);
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s%s%s\r\n",
                          path, asked.port, asked.subprotocol ? "Sec-WebSocket-Protocol: " : "",
                          asked.subprotocol ? asked.subprotocol : "", asked.subprotocol ? "\r\n" : "");
    c->state = UPGRADING;
    watch(EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
    write_all(c, request, (size_t)length);
}

static void become_ready(struct connection *c) {
    c->state = READY;
    count.ready++;
    last_ready = now();
    record(&to_ready, last_ready - c->opened);
    open_next();
}

/* ---- frames ---- */

enum opcode { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

/* A masked frame into `out`, which has room for `size` + 8. Its size. */
static size_t make_frame(uint8_t *out, enum opcode opcode, const uint8_t *payload, size_t size) {
    static uint32_t random = 0x9e3779b9;
    uint8_t mask[4];
    size_t at = 0;
    random = random * 1664525u + 1013904223u;
    memcpy(mask, &random, 4);
    out[at++] = 0x80 | (uint8_t)opcode;
    if (size < 126) {
        out[at++] = 0x80 | (uint8_t)size;
    } else {
        out[at++] = 0x80 | 126;
        out[at++] = (uint8_t)(size >> 8);
        out[at++] = (uint8_t)size;
    }
    memcpy(out + at, mask, 4);
    at += 4;
    for (size_t i = 0; i < size; i++)
        out[at + i] = payload[i] ^ mask[i & 3];
    return at + size;
}

static uint8_t message_frame[1 << 16];
static size_t message_frame_size;

static void send_message(struct connection *c, nanoseconds due) {
    c->sent[c->sends++ % RING] = due;
    under_way++;
    write_all(c, message_frame, message_frame_size);
}

static bool holds(const uint8_t *text, size_t size, const char *mark) {
    return memmem(text, size, mark, strlen(mark)) != NULL;
}

static bool is_final(const uint8_t *text, size_t size) {
    size_t skipped = size > TAIL ? size - TAIL : 0;
    return !asked.final || holds(text + skipped, size - skipped, asked.final);
}

/* ---- fan-out: the nth final frame of each connection belongs to the nth trigger ---- */

static struct {
    nanoseconds sent[RING];
    uint64_t got[RING]; /* how many connections have it */
    uint64_t triggers, done;
    struct connection poster; /* of the HTTP requests; not one of the `connections` */
    uint64_t posts_open;
    bool wanted; /* a trigger waits for the HTTP response of the one before */
} fan;

static void post(void) {
    char request[8192];
    int length = snprintf(request, sizeof request,
                          "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                          "Content-Length: %zu\r\n\r\n%s",
                          asked.post, asked.port, strlen(asked.message), asked.message);
    fan.posts_open++;
    write_all(&fan.poster, request, (size_t)length);
}

static void dial_poster(void) {
    fan.poster.fd = dial(0);
    fan.poster.state = CONNECTING;
    watch(EPOLL_CTL_ADD, fan.poster.fd, EPOLLOUT, &fan.poster);
}

static void trigger(nanoseconds due) {
    if (asked.post && (fan.posts_open || fan.poster.state == CONNECTING)) {
        fan.wanted = true; /* one request at a time on a connection */
        return;
    }
    fan.sent[fan.triggers % RING] = due;
    fan.got[fan.triggers % RING] = 0;
    fan.triggers++;
    under_way++;
    if (asked.post)
        post();
    else
        write_all(&connections[0], message_frame, message_frame_size);
}

/* How long the HTTP response at the start of `text` is; 0 if it is not whole yet. `text` ends with a zero. */
static size_t response_size(const char *text, size_t size) {
    const char *end = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "\r\ncontent-length:");
    if (!end || !length || length > end)
        return 0;
    size_t whole = (size_t)(end - text) + 4 + strtoul(length + strlen("\r\ncontent-length:"), NULL, 10);
    return size >= whole ? whole : 0;
}

static void trigger_if_wanted(void) {
    if (fan.wanted) {
        fan.wanted = false;
        trigger(now());
    }
}

static void posted(void) {
    static char response[8192];
    static size_t held;
    ssize_t got = read(fan.poster.fd, response + held, sizeof response - 1 - held);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    held += got > 0 ? (size_t)got : 0;
    response[held] = 0;
    if (got <= 0 || (held >= 12 && memcmp(response + 9, "200", 3) != 0)) {
        fprintf(stderr, "the trigger was answered: %s\n", response);
        give_up(&fan.poster);
        return;
    }
    if (!response_size(response, held))
        return;
    held = 0;
    fan.posts_open = 0;
    if (strcasestr(response, "\r\nconnection: close")) { /* servers bound the requests of a connection */
        close(fan.poster.fd);
        dial_poster();
    } else {
        trigger_if_wanted();
    }
}

static void fanned_out(struct connection *c, nanoseconds at) {
    uint64_t which = c->answers++ % RING;
    if (++fan.got[which] < (uint64_t)asked.connections)
        return;
    fan.done++;
    under_way--;
    if (measuring)
        record(&to_final, at - fan.sent[which]);
    if (!asked.rate && running)
        trigger(at);
}

/* ---- what comes ---- */

static void on_text(struct connection *c, const uint8_t *text, size_t size) {
    if (c->state == GREETED_NEXT) {
        if (holds(text, size, asked.greeting))
            become_ready(c);
        return;
    }
    if (asked.expect && !holds(text, size < HEAD ? size : HEAD, asked.expect)) {
        count.unexpected++;
        return;
    }
    nanoseconds at = now();
    bool final = is_final(text, size);
    if (measuring || asked.mode == HOLD) {
        count.messages++;
        count.bytes += size;
        count.finals += final;
    }
    if (asked.mode == FANOUT && final)
        fanned_out(c, at);
    if (asked.mode != ASK || c->answers == c->sends)
        return;
    nanoseconds since = c->sent[c->answers % RING];
    if (!c->saw_first && measuring)
        record(&to_first, at - since);
    c->saw_first = !final;
    if (!final)
        return;
    c->answers++;
    under_way--;
    if (measuring)
        record(&to_final, at - since);
    if (!asked.rate && running)
        send_message(c, at);
}

static void on_frame(struct connection *c, enum opcode opcode, const uint8_t *payload, size_t size) {
    uint8_t pong[160];
    if (opcode == TEXT || opcode == BINARY)
        on_text(c, payload, size);
    else if (opcode == PING)
        write_all(c, pong, make_frame(pong, PONG, payload, size > 125 ? 125 : size));
    else if (opcode == CLOSE)
        give_up(c);
}

/* Takes the whole frames at the start of `bytes`; how much they took. */
static size_t take_frames(struct connection *c, const uint8_t *bytes, size_t size) {
    size_t at = 0;
    while (c->state != CLOSED && size - at >= 2) {
        const uint8_t *header = bytes + at;
        uint64_t length = header[1] & 127;
        size_t header_size = length == 126 ? 4 : length == 127 ? 10 : 2;
        if (size - at < header_size)
            break;
        if (header_size > 2) {
            length = 0;
            for (size_t i = 2; i < header_size; i++)
                length = length << 8 | header[i];
        }
        if (size - at < header_size + length)
            break;
        on_frame(c, header[0] & 15, header + header_size, length);
        at += header_size + length;
    }
    return at;
}

/* Takes the response to the handshake, if it is whole; how much it took. */
static size_t take_response(struct connection *c, const uint8_t *bytes, size_t size) {
    const uint8_t *end = memmem(bytes, size, "\r\n\r\n", 4);
    if (!end)
        return 0;
    if (size < 12 || memcmp(bytes + 9, "101", 3) != 0) {
        fprintf(stderr, "refused: %.*s\n", (int)(size < 300 ? size : 300), bytes);
        give_up(c);
        return size;
    }
    if (asked.greeting)
        c->state = GREETED_NEXT;
    else
        become_ready(c);
    return (size_t)(end - bytes) + 4;
}

static void append(struct connection *c, const uint8_t *bytes, size_t size) {
    if (c->held_size + size > c->held_room) {
        c->held_room = c->held_size + size + 1024;
        c->held = realloc(c->held, c->held_room);
        if (!c->held)
            abort();
    }
    memcpy(c->held + c->held_size, bytes, size);
    c->held_size += size;
}

static void on_readable(struct connection *c) {
    static uint8_t room[1 << 18];
    const uint8_t *bytes = room;
    ssize_t got = read(c->fd, room, sizeof room);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            give_up(c);
        return;
    }
    size_t size = (size_t)got, taken = 0;
    if (c->held_size) {
        append(c, room, size);
        bytes = c->held;
        size = c->held_size;
    }
    if (c->state == UPGRADING)
        taken = take_response(c, bytes, size);
    if (c->state == GREETED_NEXT || c->state == READY)
        taken += take_frames(c, bytes + taken, size - taken);
    if (c->state == CLOSED || (bytes == c->held && taken == 0))
        return;
    if (bytes == c->held) {
        c->held_size = size - taken;
        memmove(c->held, bytes + taken, size - taken);
    } else if (taken < size) {
        append(c, bytes + taken, size - taken);
    }
}

/* ---- the run ---- */

/* Sends what is due by the rate that was asked for; when the next will be. */
static nanoseconds send_due(nanoseconds due) {
    static unsigned turn;
    for (nanoseconds at = now(); due <= at; due += from_seconds(1 / asked.rate)) {
        if (asked.mode == FANOUT) {
            if (fan.triggers - fan.done < RING)
                trigger(due);
            continue;
        }
        struct connection *c = &connections[turn++ % (unsigned)asked.connections];
        if (c->state == READY && c->sends - c->answers < RING)
            send_message(c, due);
    }
    return due;
}

static void turn_once(nanoseconds until) {
    static struct epoll_event events[512];
    nanoseconds at = now(), span = until > at ? until - at : 0;
    struct timespec timeout = {.tv_sec = (time_t)(span / 1000000000u), .tv_nsec = (long)(span % 1000000000u)};
    int number = epoll_pwait2(poller, events, 512, &timeout, NULL);
    for (int i = 0; i < number; i++) {
        struct connection *c = events[i].data.ptr;
        if (c->state == CLOSED)
            continue;
        if (c == &fan.poster && c->state == CONNECTING) {
            c->state = READY;
            watch(EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
            trigger_if_wanted();
        } else if (c == &fan.poster) {
            posted();
        } else if (c->state == CONNECTING) {
            upgrade(c);
        } else {
            on_readable(c);
        }
    }
}

static bool all_lost(void) { return count.lost >= (uint64_t)asked.connections; }

static void idle_for(double seconds) {
    for (nanoseconds end = now() + from_seconds(seconds); now() < end;)
        turn_once(end);
}

static void begin_work(void) {
    if (asked.mode == FANOUT) {
        for (int i = 0; i < asked.outstanding; i++)
            trigger(now());
        return;
    }
    for (int i = 0; i < asked.connections; i++)
        for (int k = 0; k < asked.outstanding; k++)
            send_message(&connections[i], now());
}

/* Begin new work for so long, and wait for the last of it. */
static void work_for(double seconds) {
    nanoseconds end = now() + from_seconds(seconds), due = now();
    running = true;
    if (!asked.rate)
        begin_work();
    while (now() < end && !all_lost()) {
        if (asked.rate)
            due = send_due(due);
        turn_once(asked.rate && due < end ? due : end);
    }
    running = false;
    end += from_seconds(asked.patience);
    while ((under_way || fan.posts_open) && now() < end && !count.lost)
        turn_once(end);
}

static void connect_all(void) {
    nanoseconds began = now(), cpu = server_cpu(), end = began + from_seconds(asked.patience);
    last_ready = began;
    for (int i = 0; i < asked.handshakes; i++)
        open_next();
    while (count.ready + count.refused < (uint64_t)asked.connections && now() < end)
        turn_once(now() + 100000000u);
    double spent = (double)(server_cpu() - cpu) / 1e9;
    printf("{\"ready\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"connect_seconds\":%.4f,\"connect_cpu_seconds\":%.4f,"
           "\"ready_p50_ms\":%.3f,\"ready_p99_ms\":%.3f",
           count.ready, count.refused, (double)(last_ready - began) / 1e9, spent, quantile(&to_ready, 0.5),
           quantile(&to_ready, 0.99));
}

static void hold_all(void) {
    printf("}\n");
    fflush(stdout);
    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) < 0 && errno == EAGAIN)
        turn_once(now() + 20000000u);
    printf("{\"alive\":%" PRIu64 ",\"messages\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n", count.ready - count.lost,
           count.messages, count.bytes);
}

static void measure(void) {
    if (asked.post) {
        dial_poster();
        while (fan.poster.state == CONNECTING)
            turn_once(now() + 100000000u);
    }
    idle_for(0.2); /* what the server had to say about the last connections */
    work_for(asked.warm_up);
    nanoseconds began = now(), cpu = server_cpu(), own = own_cpu();
    measuring = true;
    work_for(asked.seconds);
    measuring = false;
    double elapsed = (double)(now() - began) / 1e9;
    double spent = (double)(server_cpu() - cpu) / 1e9;
    double own_spent = (double)(own_cpu() - own) / 1e9;
    printf(",\"elapsed_seconds\":%.4f,\"cpu_seconds\":%.5f,\"generator_cpu_seconds\":%.4f,\"messages\":%" PRIu64
           ",\"bytes\":%" PRIu64 ",\"finals\":%" PRIu64 ",\"unexpected\":%" PRIu64 ",\"unanswered\":%" PRIu64
           ",\"lost\":%" PRIu64 ",\"failed_writes\":%" PRIu64
           ",\"final_p50_ms\":%.3f,\"final_p99_ms\":%.3f,\"final_max_ms\":%.3f,"
           "\"first_p50_ms\":%.3f,\"first_p99_ms\":%.3f,\"first_max_ms\":%.3f,\"latencies\":%" PRIu64 "}\n",
           elapsed, spent, own_spent, count.messages, count.bytes, count.finals, count.unexpected, under_way,
           count.lost, count.failed_writes, quantile(&to_final, 0.5), quantile(&to_final, 0.99),
           quantile(&to_final, 1), quantile(&to_first, 0.5), quantile(&to_first, 0.99), quantile(&to_first, 1),
           to_final.count);
}

/* ---- the command line ---- */

static int bad_usage(const char *why) {
    fprintf(stderr, "wsload: %s\n", why);
    return 2;
}

static int parse(int argc, char **argv) {
    enum { PORT = 1, PATH, SUBPROTOCOL, GREETING, MODE, CONNECTIONS, HANDSHAKES, SOURCES, MESSAGE,
           OUTSTANDING, EXPECT, FINAL, POST, RATE, WARM_UP, SECONDS, PATIENCE, PIDS };
    static const struct option options[] = {
        {"port", required_argument, 0, PORT},
        {"path", required_argument, 0, PATH},
        {"subprotocol", required_argument, 0, SUBPROTOCOL},
        {"greeting", required_argument, 0, GREETING},
        {"mode", required_argument, 0, MODE},
        {"connections", required_argument, 0, CONNECTIONS},
        {"handshakes", required_argument, 0, HANDSHAKES},
        {"sources", required_argument, 0, SOURCES},
        {"message", required_argument, 0, MESSAGE},
        {"outstanding", required_argument, 0, OUTSTANDING},
        {"expect", required_argument, 0, EXPECT},
        {"final", required_argument, 0, FINAL},
        {"post", required_argument, 0, POST},
        {"rate", required_argument, 0, RATE},
        {"warm-up", required_argument, 0, WARM_UP},
        {"seconds", required_argument, 0, SECONDS},
        {"patience", required_argument, 0, PATIENCE},
        {"pids", required_argument, 0, PIDS},
        {0, 0, 0, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case PORT: asked.port = atoi(optarg); break;
        case PATH: asked.path = optarg; break;
        case SUBPROTOCOL: asked.subprotocol = optarg; break;
        case GREETING: asked.greeting = optarg; break;
        case MODE:
            if (!strcmp(optarg, "ask"))
                asked.mode = ASK;
            else if (!strcmp(optarg, "fanout"))
                asked.mode = FANOUT;
            else if (!strcmp(optarg, "hold"))
                asked.mode = HOLD;
            else
                return bad_usage("--mode is ask, fanout or hold");
            break;
        case CONNECTIONS: asked.connections = atoi(optarg); break;
        case HANDSHAKES: asked.handshakes = atoi(optarg); break;
        case SOURCES: asked.sources = atoi(optarg); break;
        case MESSAGE: asked.message = optarg; break;
        case OUTSTANDING: asked.outstanding = atoi(optarg); break;
        case EXPECT: asked.expect = optarg; break;
        case FINAL: asked.final = optarg; break;
        case POST: asked.post = optarg; break;
        case RATE: asked.rate = atof(optarg); break;
        case WARM_UP: asked.warm_up = atof(optarg); break;
        case SECONDS: asked.seconds = atof(optarg); break;
        case PATIENCE: asked.patience = atof(optarg); break;
        case PIDS: asked.pids = optarg; break;
        default: return 2;
        }
    }
    if (asked.connections < 1 || asked.outstanding < 1 || asked.outstanding >= RING || asked.sources < 1)
        return bad_usage("--connections, --sources and --outstanding are at least 1, and --outstanding below 256");
    if (strlen(asked.message) > 7000)
        return bad_usage("--message is at most 7000 bytes");
    if (asked.post && asked.outstanding > 1)
        return bad_usage("--post sends one at a time");
    return 0;
}

int main(int argc, char **argv) {
    int status = parse(argc, argv);
    if (status)
        return status;
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    poller = epoll_create1(0);
    connections = calloc((size_t)asked.connections, sizeof *connections);
    if (!connections)
        return 1;
    message_frame_size = make_frame(message_frame, TEXT, (const uint8_t *)asked.message, strlen(asked.message));
    connect_all();
    if (asked.mode == HOLD) {
        hold_all();
    } else if (count.ready < (uint64_t)asked.connections) {
        printf("}\n");
        return 1;
    } else {
        measure();
    }
    for (int i = 0; i < asked.connections; i++)
        if (connections[i].state != CLOSED)
            close(connections[i].fd);
    return 0;
}
