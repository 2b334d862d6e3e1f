/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration's section "wireguard": how rented machines reach a broker in a private network. */

#include <arpa/inet.h>
#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "config_priv.h"
#include "net/address.h"

/* A network of IPv4 that gives at least 13 addresses, or one of IPv6 in which each lease's number is an address. */
enum { PREFIX_V4_MIN = 8, PREFIX_V4_MAX = 28, PREFIX_V6_MIN = 16, PREFIX_V6_MAX = 64, KEEPALIVE_S = 25, KEEPALIVE_S_MAX = 65535, MTU_MIN = 1280, MTU_MAX = 9200 };

const char *weir_net_format(const struct weir_net *n, char buf[static WEIR_NET_SIZE])
{
    char address[INET6_ADDRSTRLEN] = "";
    (void)inet_ntop(n->is_v6 ? AF_INET6 : AF_INET, n->address, address, sizeof address);
    (void)snprintf(buf, WEIR_NET_SIZE, "%s/%u", address, (unsigned)n->prefix);
    return buf;
}

static bool bit(const unsigned char *address, unsigned i)
{
    return (address[i / 8] >> (7 - i % 8) & 1) != 0;
}

static bool has(const struct weir_net *n, const struct weir_net *inside)
{
    if (n->is_v6 != inside->is_v6 || n->prefix > inside->prefix) {
        return false;
    }
    for (unsigned i = 0; i < n->prefix; i++) {
        if (bit(n->address, i) != bit(inside->address, i)) {
            return false;
        }
    }
    return true;
}

/* A literal address, as a network of one; false for a name. */
static bool address_of(struct weir_sv text, struct weir_net *ret)
{
    char z[INET6_ADDRSTRLEN];
    if (text.n >= 2 && text.p[0] == '[' && text.p[text.n - 1] == ']') {
        text = (struct weir_sv){text.p + 1, text.n - 2};
    }
    if (text.n == 0 || text.n >= sizeof z) {
        return false;
    }
    memcpy(z, text.p, text.n);
    z[text.n] = '\0';
    *ret = (struct weir_net){.prefix = 32};
    if (inet_pton(AF_INET, z, ret->address) == 1) {
        return true;
    }
    ret->is_v6 = true;
    ret->prefix = 128;
    return inet_pton(AF_INET6, z, ret->address) == 1;
}

static int read_net(struct config_loader *l, const struct doc *d, struct weir_net *ret)
{
    int r = config_scalar(l, d);
    if (r != 0) {
        return r;
    }
    struct weir_sv prefix = d->text;
    struct weir_sv address = weir_sv_cut(&prefix, '/');
    uint64_t bits;
    if (!address_of(address, ret) || weir_parse_u64(prefix, 0, ret->prefix, &bits, NULL) != 0) {
        return config_fail_at(l, d, "a network is wanted here, such as 10.77.0.0/16 or fd12:3456:789a::/64");
    }
    for (unsigned i = (unsigned)bits; i < ret->prefix; i++) {
        if (bit(ret->address, i)) {
            return config_fail_at(l, d, "a network ends in zeros behind its prefix, as 10.77.0.0/16 does");
        }
    }
    ret->prefix = (uint8_t)bits;
    return 0;
}

static int read_network(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_link *k = target;
    int r = read_net(l, d, &k->network);
    if (r != 0) {
        return r;
    }
    unsigned min = k->network.is_v6 ? PREFIX_V6_MIN : PREFIX_V4_MIN;
    unsigned max = k->network.is_v6 ? PREFIX_V6_MAX : PREFIX_V4_MAX;
    return k->network.prefix >= min && k->network.prefix <= max ? 0 : config_fail_at(l, d, "network: a prefix of /8 to /28, of IPv6 /16 to /64, is wanted here");
}

static int read_routes(struct config_loader *l, const struct doc *d, void *target)
{
    static const struct weir_net metadata = {.address = {169, 254, 169, 254}, .prefix = 32};
    struct weir_config_link *k = target;
    if (d->kind != DOC_LIST || d->n >= WEIR_CONFIG_LINK_ROUTES_MAX) {
        return config_fail_at(l, d, "routes: a list of at most 31 networks is wanted here");
    }
    for (const struct doc *i = d->first; i != NULL; i = i->next) {
        struct weir_net *n = &k->route[k->n_routes++];
        int r = read_net(l, i, n);
        if (r != 0) {
            return r;
        }
        if (has(n, &metadata) || n->prefix == 0) {
            return config_fail_at(l, i, "routes: the machine would not reach its provider any more (169.254.169.254): name the site's own networks");
        }
    }
    return 0;
}

static int read_interface(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_link *k = target;
    int r = config_read_string(l, d, k->interface, sizeof k->interface);
    for (const char *p = k->interface; r == 0 && (*p != '\0' || p == k->interface); p++) {
        if (!isalnum((unsigned char)*p) && (strchr("_=+.-", *p) == NULL || *p == '\0' || k->interface[0] == '-')) {
            return config_fail_at(l, d, "interface: the name of a network interface is wanted here, such as wg0");
        }
    }
    return r;
}

static int read_endpoint(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_link *k = target;
    int r = config_read_string(l, d, k->endpoint, sizeof k->endpoint);
    if (r != 0) {
        return r;
    }
    const char *colon = strrchr(k->endpoint, ':');
    size_t n = colon == NULL ? 0 : (size_t)(colon - k->endpoint);
    uint64_t port;
    struct weir_net address;
    bool ok = n > 0 && n <= 255 && weir_parse_u64(weir_sv_of(colon + 1), 1, 65535, &port, NULL) == 0;
    if (ok && (k->endpoint[0] == '[' || memchr(k->endpoint, ':', n) != NULL)) {
        ok = k->endpoint[0] == '[' && address_of((struct weir_sv){k->endpoint, n}, &address) && address.is_v6;
    } else {
        for (size_t i = 0; i < n; i++) {
            ok = ok && (isalnum((unsigned char)k->endpoint[i]) || k->endpoint[i] == '.' || (k->endpoint[i] == '-' && i > 0));
        }
    }
    return ok ? 0 : config_fail_at(l, d, "endpoint: where machines reach the gateway is wanted here, such as gw.example.org:51820 or [2001:db8::1]:51820");
}

/* The host of a URL, in its brackets where it has some. */
static struct weir_sv host_of(const char *url)
{
    const char *p = strstr(url, "://");
    p = p == NULL ? url : p + 3;
    return (struct weir_sv){p, p[0] == '[' ? strcspn(p, "]/") + 1 : strcspn(p, ":/")};
}

void weir_config_link_host(const struct weir_config_link *k, char *ret, size_t size)
{
    struct weir_sv host = host_of(k->url);
    if (host.n >= 2 && host.p[0] == '[') {
        host = (struct weir_sv){host.p + 1, host.n - 2};
    }
    (void)snprintf(ret, size, "%.*s", WEIR_SV_ARG(host));
}

static int read_url(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_link *k = target;
    int r = config_read_string(l, d, k->url, sizeof k->url);
    if (r != 0) {
        return r;
    }
    struct weir_sv s = weir_sv_of(k->url);
    bool ok = (weir_sv_starts(s, WEIR_SV("https://")) || weir_sv_starts(s, WEIR_SV("http://"))) && host_of(k->url).n > 0 && s.p[s.n - 1] != '/' &&
              strpbrk(k->url, "'\"\\$` \t\n?#@") == NULL;
    if (!ok) {
        return config_fail_at(l, d, "url: the broker's address inside the site is wanted here, such as https://10.77.0.1:7070");
    }
    return weir_url_is_loopback(k->url) ? config_fail_at(l, d, "url: no other machine reaches the loopback address") : 0;
}

static int read_public_key(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_link *k = target;
    int r = config_read_string(l, d, k->public_key, sizeof k->public_key);
    bool ok = r != 0 || (strlen(k->public_key) == 44 && k->public_key[43] == '=' &&
                         strspn(k->public_key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") == 43);
    return ok ? r : config_fail_at(l, d, "public_key: what 'wg show wg0 public-key' prints is wanted here");
}

static int read_command(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_link *k = target;
    if (d->kind != DOC_LIST || d->n == 0 || d->n > WEIR_CONFIG_LINK_WORDS_MAX) {
        return config_fail_at(l, d, "command: a list of 1 to 16 words is wanted here, such as [ssh, gw, wg]");
    }
    k->n_command = 0;
    for (const struct doc *i = d->first; i != NULL; i = i->next) {
        int r = config_read_string(l, i, k->command[k->n_command], sizeof k->command[0]);
        if (r != 0) {
            return r;
        }
        if (k->command[k->n_command++][0] == '\0') {
            return config_fail_at(l, i, "command: a word may not be empty");
        }
    }
    return 0;
}

static int read_direct(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_link *k = target;
    if (d->kind != DOC_LIST || d->n > WEIR_CONFIG_PROVIDERS_MAX) {
        return config_fail_at(l, d, "direct: a list of providers is wanted here");
    }
    for (const struct doc *i = d->first; i != NULL; i = i->next) {
        int r = config_read_string(l, i, k->direct[k->n_direct], sizeof k->direct[0]);
        if (r != 0) {
            return r;
        }
        k->n_direct++;
    }
    return 0;
}

static int read_dns(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_link *k = target;
    if (d->kind != DOC_LIST || d->n > WEIR_CONFIG_LINK_DNS_MAX) {
        return config_fail_at(l, d, "dns: a list of at most 3 addresses is wanted here");
    }
    for (const struct doc *i = d->first; i != NULL; i = i->next) {
        struct weir_net address;
        if (i->kind != DOC_SCALAR || !address_of(i->text, &address) || config_read_string(l, i, k->dns[k->n_dns], sizeof k->dns[0]) != 0) {
            return config_fail_at(l, i, "dns: an address is wanted here, such as 10.20.0.53");
        }
        k->n_dns++;
    }
    return 0;
}

static int read_domains(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_link *k = target;
    if (d->kind != DOC_LIST || d->n > WEIR_CONFIG_LINK_DOMAINS_MAX) {
        return config_fail_at(l, d, "domains: a list of at most 8 domains is wanted here");
    }
    for (const struct doc *i = d->first; i != NULL; i = i->next) {
        char *name = k->domain[k->n_domains];
        int r = config_read_string(l, i, name, sizeof k->domain[0]);
        if (r != 0) {
            return r;
        }
        if (!isalnum((unsigned char)name[0]) || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") != strlen(name)) {
            return config_fail_at(l, i, "domains: a domain is wanted here, such as site.example.org");
        }
        k->n_domains++;
    }
    return 0;
}

static int read_keepalive(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_link *k = target;
    int r = config_read_duration(l, d, &k->keepalive);
    bool ok = k->keepalive.us >= WEIR_US_PER_S && k->keepalive.us <= KEEPALIVE_S_MAX * WEIR_US_PER_S;
    return r != 0 || ok ? r : config_fail_at(l, d, "keepalive: 1s to 65535s are possible");
}

static int read_mtu(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_link *k = target;
    int r = config_read_u32(l, d, &k->mtu);
    return r != 0 || (k->mtu >= MTU_MIN && k->mtu <= MTU_MAX) ? r : config_fail_at(l, d, "mtu: 1280 to 9200 are possible");
}

/* What holds of the section as a whole: the broker lies behind the link, and the gateway before it. */
static int check_link(struct config_loader *l, const struct doc *d, struct weir_config_link *k)
{
    struct weir_net broker;
    struct weir_net gateway;
    if (k->endpoint[0] == '\0' || k->url[0] == '\0' || k->network.prefix == 0) {
        return config_fail_at(l, d, k->endpoint[0] == '\0'  ? "wireguard: endpoint is missing: where machines reach the gateway, as gw.example.org:51820"
                                    : k->url[0] == '\0' ? "wireguard: url is missing: the broker's address inside the site, as https://10.77.0.1:7070"
                                                        : "wireguard: network is missing: whose addresses machines get, as 10.77.0.0/16");
    }
    if (address_of(host_of(k->url), &broker)) {
        bool is_there = false;
        for (size_t i = 0; i < k->n_routes; i++) {
            is_there = is_there || has(&k->route[i], &broker);
        }
        if (!is_there) {
            k->route[k->n_routes++] = broker;
        }
    } else if (k->n_routes == 0) {
        return config_fail_at(l, d, "wireguard: url has a name in it: name the network of its address in routes");
    }
    if (k->n_domains > 0 && k->n_dns == 0) {
        return config_fail_at(l, d, "wireguard: domains needs dns: whom machines ask for these names");
    }
    struct weir_sv host = {k->endpoint, (size_t)(strrchr(k->endpoint, ':') - k->endpoint)};
    for (size_t i = 0; address_of(host, &gateway) && i < k->n_routes; i++) {
        if (has(&k->route[i], &gateway)) {
            return config_fail_at(l, d, "wireguard: endpoint lies in routes: what makes the tunnel cannot go through it");
        }
    }
    return 0;
}

int config_read_link(struct config_loader *l, const struct doc *d, void *target)
{
    static const struct config_row rows[] = {
        {"interface", read_interface, 0}, {"endpoint", read_endpoint, 0},   {"url", read_url, 0},
        {"network", read_network, 0},     {"routes", read_routes, 0},       {"public_key", read_public_key, 0},
        {"command", read_command, 0},     {"direct", read_direct, 0},       {"keepalive", read_keepalive, 0},
        {"mtu", read_mtu, 0},             {"dns", read_dns, 0},             {"domains", read_domains, 0},
    };
    struct weir_config_link *k = target;
    *k = (struct weir_config_link){.is_set = true, .interface = "wg0", .command = {"wg"}, .n_command = 1, .keepalive = weir_dur_s(KEEPALIVE_S)};
    int r = config_read_rows(l, d, rows, WEIR_ARRAY_LEN(rows), target);
    return r != 0 ? r : check_link(l, d, k);
}
