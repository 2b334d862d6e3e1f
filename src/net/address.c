/* SPDX-License-Identifier: Apache-2.0 */
/* Listen addresses; see address.h. */

#include "net/address.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/parse.h"

static int parse_host(struct weir_sv host, struct weir_address *a)
{
    char text[INET6_ADDRSTRLEN];
    bool is_v6 = host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    if (is_v6) {
        host.p++;
        host.n -= 2;
    }
    if (host.n == 0 || host.n >= sizeof(text) || memchr(host.p, 0, host.n) != NULL) {
        return -1;
    }
    memcpy(text, host.p, host.n);
    text[host.n] = 0;
    if (is_v6) {
        a->sa.v6.sin6_family = AF_INET6;
        a->size = sizeof(a->sa.v6);
        return inet_pton(AF_INET6, text, &a->sa.v6.sin6_addr) == 1 ? 0 : -1;
    }
    a->sa.v4.sin_family = AF_INET;
    a->size = sizeof(a->sa.v4);
    const char *number = weir_streq(text, "localhost") ? "127.0.0.1" : text;
    return inet_pton(AF_INET, number, &a->sa.v4.sin_addr) == 1 ? 0 : -1;
}

int weir_address_parse(struct weir_sv text, struct weir_address *ret, struct weir_err *err)
{
    size_t colon = text.n;
    while (colon > 0 && text.p[colon - 1] != ':') {
        colon--;
    }
    if (colon == 0) {
        return weir_fail(err,
                         -WEIR_EINVAL,
                         "listen address '%.*s': no port; write HOST:PORT, such as 127.0.0.1:7070",
                         WEIR_SV_ARG(text));
    }
    struct weir_sv host = {text.p, colon - 1};
    struct weir_sv port_text = {text.p + colon, text.n - colon};
    uint64_t port = 0;
    int r = weir_parse_u64(port_text, 0, UINT16_MAX, &port, NULL);
    if (r < 0) {
        return weir_fail(err,
                         -WEIR_EINVAL,
                         "listen address '%.*s': '%.*s' is not a port (0 to 65535)",
                         WEIR_SV_ARG(text),
                         WEIR_SV_ARG(port_text));
    }
    struct weir_address a = {0};
    if (host.n == 0) {
        a.is_wildcard = true;
        a.sa.v6.sin6_family = AF_INET6;
        a.size = sizeof(a.sa.v6);
    } else if (parse_host(host, &a) < 0) {
        return weir_fail(
            err,
            -WEIR_EINVAL,
            "listen address '%.*s': '%.*s' is not an IP address; write 127.0.0.1:PORT, "
            "[::1]:PORT, or :PORT for all addresses",
            WEIR_SV_ARG(text),
            WEIR_SV_ARG(host));
    }
    if (a.sa.any.sa_family == AF_INET6) {
        a.sa.v6.sin6_port = htons((uint16_t)port);
    } else {
        a.sa.v4.sin_port = htons((uint16_t)port);
    }
    *ret = a;
    return 0;
}

bool weir_address_is_loopback(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)sa;
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)sa;
        return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) && v6->sin6_addr.s6_addr[12] == 127);
    }
    return false;
}

const char *weir_address_format(const struct sockaddr *sa, char buf[static WEIR_ADDRESS_TEXT_SIZE])
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)sa;
        (void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
        (void)snprintf(buf, WEIR_ADDRESS_TEXT_SIZE, "%s:%u", host, ntohs(v4->sin_port));
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)sa;
        bool is_mapped = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
        if (is_mapped) {
            (void)inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], host, sizeof(host));
        } else {
            (void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
        }
        (void)snprintf(buf,
                       WEIR_ADDRESS_TEXT_SIZE,
                       is_mapped ? "%s:%u" : "[%s]:%u",
                       host,
                       ntohs(v6->sin6_port));
    } else {
        (void)snprintf(buf, WEIR_ADDRESS_TEXT_SIZE, "unknown");
    }
    return buf;
}

/* The name or number of "HOST", "HOST:PORT" or "[ADDRESS]:PORT"; empty where it is malformed. */
static struct weir_sv without_port(struct weir_sv host)
{
    if (host.n > 0 && host.p[0] == '[') {
        const char *end = memchr(host.p, ']', host.n);
        size_t n = end == NULL ? 0 : (size_t)(end - host.p) + 1;
        return (struct weir_sv){host.p, n < host.n && host.p[n] != ':' ? 0 : n};
    }
    const char *colon = host.n == 0 ? NULL : memchr(host.p, ':', host.n);
    return (struct weir_sv){host.p, colon == NULL ? host.n : (size_t)(colon - host.p)};
}

bool weir_host_is_loopback(struct weir_sv host)
{
    struct weir_sv name = without_port(host);
    struct weir_address a = {0};
    return weir_sv_eq_nocase(name, WEIR_SV("localhost")) ||
           (parse_host(name, &a) == 0 && weir_address_is_loopback(&a.sa.any));
}

/* Name or number, and port, of the URL; empty where it has none. */
static struct weir_sv host_of(const char *url)
{
    const char *p = strstr(url, "://");
    if (p == NULL) {
        return (struct weir_sv){"", 0};
    }
    p += 3;
    struct weir_sv host = {p, strcspn(p, "/?#")};
    /* "http://localhost@elsewhere/": what stands before the '@' is not the host. */
    return memchr(host.p, '@', host.n) == NULL ? host : (struct weir_sv){"", 0};
}

bool weir_url_is_loopback(const char *url)
{
    return weir_host_is_loopback(host_of(url));
}

bool weir_url_is_direct(const char *url)
{
    static const unsigned char amazon_v6[] = {0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54};
    struct weir_sv name = without_port(host_of(url));
    struct weir_address a = {0};
    if (weir_url_is_loopback(url) || weir_sv_eq_nocase(name, WEIR_SV("metadata.google.internal"))) {
        return true;
    }
    if (parse_host(name, &a) != 0) {
        return false;
    }
    if (a.sa.any.sa_family == AF_INET) {
        return ntohl(a.sa.v4.sin_addr.s_addr) >> 16 == 0xa9fe;
    }
    return IN6_IS_ADDR_LINKLOCAL(&a.sa.v6.sin6_addr) || memcmp(&a.sa.v6.sin6_addr, amazon_v6, sizeof amazon_v6) == 0;
}
