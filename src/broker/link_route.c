/* SPDX-License-Identifier: Apache-2.0 */
#include "link_route.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

_Static_assert(LINK_ROUTE_NAME_SIZE == IF_NAMESIZE, "an interface's name fits");

enum { REPLY_BYTES_MAX = 8192 };

struct question {
    struct nlmsghdr head;
    struct rtmsg route;
    struct rtattr attribute;
    unsigned char address[16];
};

static int fail(struct weir_err *err)
{
    return weir_fail(err, -WEIR_EIO, "the kernel does not tell its routes: %s", strerror(errno));
}

static int ask(int fd, const struct weir_net *address)
{
    size_t n = address->is_v6 ? 16 : 4;
    struct question q = {.head = {.nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = 1},
                         .route = {.rtm_family = address->is_v6 ? AF_INET6 : AF_INET, .rtm_dst_len = (unsigned char)(8 * n)},
                         .attribute = {.rta_type = RTA_DST, .rta_len = (unsigned short)RTA_LENGTH(n)}};
    memcpy(q.address, address->address, n);
    q.head.nlmsg_len = (uint32_t)(offsetof(struct question, address) + n);
    return send(fd, &q, q.head.nlmsg_len, 0) == (ssize_t)q.head.nlmsg_len ? 0 : -1;
}

/* The answer's interface, 0 where there is no way; -1 where it is none. */
static int interface_of(const unsigned char *reply, size_t n)
{
    struct nlmsghdr head;
    if (n < sizeof head + sizeof(struct rtmsg)) {
        return -1;
    }
    memcpy(&head, reply, sizeof head);
    if (head.nlmsg_type == NLMSG_ERROR) {
        return 0;
    }
    if (head.nlmsg_type != RTM_NEWROUTE || head.nlmsg_len > n) {
        return -1;
    }
    for (size_t at = NLMSG_LENGTH(NLMSG_ALIGN(sizeof(struct rtmsg))); at + sizeof(struct rtattr) <= head.nlmsg_len;) {
        struct rtattr a;
        int index;
        memcpy(&a, reply + at, sizeof a);
        if (a.rta_len < sizeof a || at + a.rta_len > head.nlmsg_len) {
            return -1;
        }
        if (a.rta_type == RTA_OIF && a.rta_len == sizeof a + sizeof index) {
            memcpy(&index, reply + at + sizeof a, sizeof index);
            return index;
        }
        at += RTA_ALIGN(a.rta_len);
    }
    return 0;
}

int link_route_of(const struct weir_net *address, char ret[static LINK_ROUTE_NAME_SIZE], struct weir_err *err)
{
    unsigned char reply[REPLY_BYTES_MAX];
    int WEIR_CLEANUP(weir_closep) fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0 || ask(fd, address) < 0) {
        return fail(err);
    }
    ssize_t n = recv(fd, reply, sizeof reply, 0);
    int index = n < 0 ? -1 : interface_of(reply, (size_t)n);
    if (index < 0) {
        return fail(err);
    }
    memset(ret, 0, LINK_ROUTE_NAME_SIZE);
    if (index > 0 && if_indextoname((unsigned)index, ret) == NULL) {
        ret[0] = '\0';
    }
    return 0;
}
