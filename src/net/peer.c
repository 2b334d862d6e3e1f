/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose process has the other end of a loopback connection? Asked of the kernel by socket
 * diagnostics (sock_diag(7)): the client's own socket is the one whose local address is our peer
 * and whose peer is our local address. /proc/net/tcp says the same where netlink is not to be had.
 *
 * A socket that its process has closed stays in both lists for a while, with user 0 and inode 0.
 * Such a one belongs to nobody: anyone could send a request, close, and be taken for root.
 */

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/parse.h"
#include "net/server_priv.h"

/* A TCP socket's two ends, in IPv4 where both are mapped into IPv6. */
struct ends {
    int family;
    uint32_t client[4]; /* network order; IPv4 uses the first word */
    uint32_t server[4];
    uint16_t client_port; /* network order */
    uint16_t server_port;
};

static bool
end_of(const struct sockaddr_storage *sa, int *family, uint32_t address[4], uint16_t *port)
{
    if (sa->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)sa;
        *family = AF_INET;
        address[0] = v4->sin_addr.s_addr;
        *port = v4->sin_port;
        return true;
    }
    if (sa->ss_family != AF_INET6) {
        return false;
    }
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)sa;
    bool is_mapped = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
    *family = is_mapped ? AF_INET : AF_INET6;
    memcpy(address, &v6->sin6_addr.s6_addr[is_mapped ? 12 : 0], is_mapped ? 4 : 16);
    *port = v6->sin6_port;
    return true;
}

static bool ends_of(int fd, struct ends *ret)
{
    struct sockaddr_storage here = {0}, there = {0};
    socklen_t n_here = sizeof(here), n_there = sizeof(there);
    int family = 0;
    return getsockname(fd, (struct sockaddr *)&here, &n_here) == 0 &&
           getpeername(fd, (struct sockaddr *)&there, &n_there) == 0 &&
           end_of(&here, &family, ret->server, &ret->server_port) &&
           end_of(&there, &ret->family, ret->client, &ret->client_port) && family == ret->family;
}

static int diag_request(int fd, const struct ends *e)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 body;
    } m = {
        .head = {.nlmsg_len = sizeof(m),
                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                 .nlmsg_flags = NLM_F_REQUEST},
        .body = {.sdiag_family = (uint8_t)e->family,
                 .sdiag_protocol = IPPROTO_TCP,
                 .idiag_states = ~0U},
    };
    m.body.id.idiag_sport = e->client_port;
    m.body.id.idiag_dport = e->server_port;
    memcpy(m.body.id.idiag_src, e->client, sizeof(e->client));
    memcpy(m.body.id.idiag_dst, e->server, sizeof(e->server));
    m.body.id.idiag_cookie[0] = m.body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t n = sendto(fd, &m, sizeof(m), 0, (struct sockaddr *)&kernel, sizeof(kernel));
    return n == (ssize_t)sizeof(m) ? 0 : -1;
}

/* 0, -ENOENT where the kernel knows no such socket, or another negative errno. */
static int uid_by_netlink(const struct ends *e, uid_t *ret)
{
    WEIR_CLEANUP(weir_closep)
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0) {
        return -errno;
    }
    struct timeval limit = {.tv_sec = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (diag_request(fd, e) < 0) {
        return -errno;
    }
    union {
        struct nlmsghdr head;
        char bytes[4096];
    } m;
    ssize_t n = recv(fd, &m, sizeof(m), 0);
    if (n < 0) {
        return -errno;
    }
    if (!NLMSG_OK(&m.head, (size_t)n)) {
        return -EPROTO;
    }
    if (m.head.nlmsg_type == NLMSG_ERROR) {
        const struct nlmsgerr *error = NLMSG_DATA(&m.head);
        bool is_whole = m.head.nlmsg_len >= NLMSG_LENGTH(sizeof(*error));
        return is_whole && error->error < 0 ? error->error : -EPROTO;
    }
    const struct inet_diag_msg *found = NLMSG_DATA(&m.head);
    if (m.head.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        m.head.nlmsg_len < NLMSG_LENGTH(sizeof(*found))) {
        return -EPROTO;
    }
    /* An exact match is asked for, but a listening socket would also be given: check the ends. */
    size_t bytes = e->family == AF_INET ? 4 : 16;
    if (found->id.idiag_sport != e->client_port || found->id.idiag_dport != e->server_port ||
        memcmp(found->id.idiag_src, e->client, bytes) != 0 ||
        memcmp(found->id.idiag_dst, e->server, bytes) != 0) {
        return -ENOENT;
    }
    if (found->idiag_inode == 0) {
        return -ENOENT; /* closed; the kernel fills in the inode after the user */
    }
    *ret = found->idiag_uid;
    return 0;
}

/* Writes "0100007F:1F90", the kernel's way: words in the host's order, the port as a number. */
static void
proc_end(char *buf, size_t size, const struct ends *e, const uint32_t *address, uint16_t port)
{
    int n = snprintf(buf, size, "%08X", address[0]);
    for (int i = 1; i < 4 && e->family == AF_INET6; i++) {
        n += snprintf(buf + n, size - (size_t)n, "%08X", address[i]);
    }
    (void)snprintf(buf + n, size - (size_t)n, ":%04X", ntohs(port));
}

/* "  0: LOCAL REMOTE ST TX:RX TR:WHEN RETRNSMT UID TIMEOUT INODE ..." */
static bool uid_in_line(struct weir_sv line, const char *local, const char *remote, uid_t *ret)
{
    struct weir_sv field[10];
    size_t n = 0;
    while (n < 10 && line.p != NULL) {
        struct weir_sv word = weir_sv_cut(&line, ' ');
        if (word.n > 0) {
            field[n++] = word;
        }
    }
    uint64_t uid = 0, inode = 0;
    if (n < 10 || !weir_sv_eq(field[1], weir_sv_of(local)) ||
        !weir_sv_eq(field[2], weir_sv_of(remote)) ||
        weir_parse_u64(field[7], 0, UINT32_MAX, &uid, NULL) < 0 ||
        weir_parse_u64(field[9], 1, UINT64_MAX, &inode, NULL) < 0) {
        return false;
    }
    *ret = (uid_t)uid;
    return true;
}

static bool uid_by_proc(const struct ends *e, uid_t *ret)
{
    char local[48], remote[48];
    proc_end(local, sizeof(local), e, e->client, e->client_port);
    proc_end(remote, sizeof(remote), e, e->server, e->server_port);
    FILE *f = fopen(e->family == AF_INET ? "/proc/net/tcp" : "/proc/net/tcp6", "re");
    if (f == NULL) {
        return false;
    }
    char line[512];
    bool is_found = false;
    while (!is_found && fgets(line, sizeof(line), f) != NULL) {
        is_found = uid_in_line(weir_sv_of(line), local, remote, ret);
    }
    (void)fclose(f);
    return is_found;
}

int weir_peer_uid_by_netlink(int fd, uid_t *ret)
{
    struct ends e = {0};
    return ends_of(fd, &e) ? uid_by_netlink(&e, ret) : -ENOTCONN;
}

bool weir_peer_uid_by_proc(int fd, uid_t *ret)
{
    struct ends e = {0};
    uid_t later = 0;
    /* One line is not read in one instant. That the socket is open the second time proves that it
     * was the first time. */
    return ends_of(fd, &e) && uid_by_proc(&e, ret) && uid_by_proc(&e, &later) && later == *ret;
}

enum weir_peer_trust weir_peer_lookup(int fd)
{
    uid_t uid = 0;
    /* The other way is tried whatever the failure was: a kernel without the diagnostics says "no
     * such socket" too. */
    bool is_known = weir_peer_uid_by_netlink(fd, &uid) == 0 || weir_peer_uid_by_proc(fd, &uid);
    return is_known && (uid == geteuid() || uid == 0) ? WEIR_PEER_SAME_USER : WEIR_PEER_UNKNOWN;
}
