/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The WireGuard link between rented machines and a broker in a private network: docs/design/0015-link.md. The gateway has a peer for each
 * lease that lives, before its machine is launched and until its end is proven. What it has is looked at again and again and made equal to that:
 * a restart of broker or gateway needs nothing else. The gateway is asked in a thread of its own, as it may take its time.
 */

#include <inttypes.h>
#include <jansson.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/process.h"
#include "broker_priv.h"
#include "link_gateway.h"
#include "net/address.h"
#include "net/gnutls_lib.h"
#include "net/x25519.h"

enum { LOOK_MS = 20000, RETRY_MS_MIN = 1000, RETRY_MS_MAX = 30000, TEXT_BYTES_MAX = 4096 };

/* What the note of a lease says of the link begins so. */
static const char waits[] = "waits for the link to the site: ";
static const char known[] = "on the link as ";

struct link {
    char secret[TOKEN_SIZE];
    struct gateway gateway; /* as the thread has it while busy */
    uv_work_t work;
    bool busy;
    bool is_due;        /* leases have come or gone */
    uint64_t due_ms;
    uint32_t failures;  /* in a row */
    atomic_bool stop;
    int result;
    /* as the last look left them */
    WEIR_VEC(struct link_peer) peers;
    char public_key[LINK_KEY_SIZE];
    char text[512]; /* what is the matter; "": nothing */
    char remedy[256];
    bool has_looked;
};

/* Do the machines of that provider reach the broker by the link? Those of the sandbox are on this host. */
static bool applies(const struct broker *b, const char *provider)
{
    bool direct = b->link == NULL || weir_streq(provider, "sandbox");
    for (size_t i = 0; !direct && i < b->config->link.n_direct; i++) {
        direct = weir_streq(b->config->link.direct[i], provider);
    }
    return !direct;
}

static int check_providers(struct broker *b, struct weir_err *err)
{
    const struct weir_config_link *k = &b->config->link;
    for (size_t i = 0; i < k->n_direct; i++) {
        if (weir_provider_find(k->direct[i]) == NULL) {
            char text[256];
            weir_provider_unknown(k->direct[i], text, sizeof text);
            return weir_fail(err, -WEIR_ECONFIG, "wireguard: direct: %s", text);
        }
    }
    for (size_t i = 0; i < b->n_providers; i++) {
        const char *name = b->provider[i].ops->name;
        if ((b->provider[i].ops->caps & WEIR_PROVIDER_CONTAINERS) != 0 && applies(b, name)) {
            return weir_fail(err, -WEIR_ECONFIG,
                             "providers: %s rents containers, which cannot make a WireGuard tunnel, and would never reach a broker that is behind one: take it out, or, "
                             "where they reach public_url without, name it in 'direct' of the section 'wireguard'",
                             name);
        }
    }
    return 0;
}

int link_init(struct broker *b, struct weir_err *err)
{
    if (!b->config->link.is_set) {
        return 0;
    }
    struct link *k = weir_alloc(sizeof *k);
    b->link = k;
    int r = check_providers(b, err);
    r = r != 0 ? r : weir_x25519_init(err);
    r = r != 0 ? r : tokens_file_key(b, "link-key", k->secret, err);
    k->is_due = true;
    weir_process_lend(CAP_NET_ADMIN, false); /* what the agent of this host and its tasks are started with has nothing to do with networks */
    return r;
}

void link_stop(struct broker *b)
{
    if (b->link != NULL) {
        atomic_store(&b->link->stop, true);
    }
}

void link_free(struct broker *b)
{
    if (b->link != NULL) {
        weir_vec_release(&b->link->gateway.peers);
        weir_vec_release(&b->link->peers);
        explicit_bzero(b->link, sizeof *b->link);
        free(b->link);
        b->link = NULL;
    }
}

void link_changed(struct broker *b)
{
    if (b->link != NULL) {
        b->link->is_due = true;
    }
}

/* ---- looks at the gateway ---- */

static void look(uv_work_t *work)
{
    struct link *k = work->data;
    weir_process_lend(CAP_NET_ADMIN, true);
    k->result = gateway_settle(&k->gateway);
    weir_process_lend(CAP_NET_ADMIN, false);
}

static void looked(uv_work_t *work, int status)
{
    struct broker *b = work->loop->data;
    struct link *k = work->data;
    struct gateway *g = &k->gateway;
    k->busy = false;
    if (status != 0 || b->stopping) {
        return;
    }
    weir_vec_clear(&k->peers);
    for (size_t i = 0; i < g->peers.n; i++) {
        weir_vec_push(&k->peers, g->peers.p[i]);
    }
    uint64_t ms = LOOK_MS;
    if (k->result == 0) {
        if (!k->has_looked || k->failures > 0 || g->added + g->removed > 0) {
            weir_log(WEIR_LOG_INFO, "link.set", "interface=%s peers=%zu added=%" PRIu32 " removed=%" PRIu32, b->config->link.interface, g->peers.n, g->added, g->removed);
        }
        memcpy(k->public_key, g->public_key, sizeof k->public_key);
        k->failures = 0;
        k->text[0] = '\0';
        k->remedy[0] = '\0';
    } else {
        if (!weir_streq(k->text, g->err.text)) {
            weir_log(WEIR_LOG_WARNING, "link.gateway", "text=\"%s\" remedy=\"%s\"", g->err.text, g->remedy);
        }
        ms = (uint64_t)RETRY_MS_MIN << (k->failures > 8 ? 8 : k->failures);
        ms = ms > RETRY_MS_MAX ? RETRY_MS_MAX : ms;
        k->failures++;
        (void)snprintf(k->text, sizeof k->text, "%s", g->err.text);
        (void)snprintf(k->remedy, sizeof k->remedy, "%s", g->remedy);
    }
    k->has_looked = true;
    k->due_ms = broker_ms(b) + ms;
    broker_wake(b);
}

/* The leases that live; they are in order. */
static void gather(struct broker *b, struct gateway *g)
{
    const struct weir_core *core = weir_engine_core(b->engine);
    size_t n = weir_core_leases(core, NULL, 0);
    struct weir_lease_id *id = weir_calloc(n + 1, sizeof *id);
    n = weir_core_leases(core, id, n);
    weir_vec_clear(&g->peers);
    for (size_t i = 0; i < n; i++) {
        struct weir_lease_view v;
        if (weir_core_lease(core, id[i], &v) && v.state != WEIR_LEASE_ENDED && v.state != WEIR_LEASE_FAILED && applies(b, v.offer.provider)) {
            weir_vec_push(&g->peers, ((struct link_peer){.lease = id[i]}));
        }
    }
    free(id);
}

void link_tick(struct broker *b)
{
    struct link *k = b->link;
    uint64_t now = k == NULL ? 0 : broker_ms(b);
    if (k == NULL || k->busy || (now < k->due_ms && (!k->is_due || k->failures > 0))) {
        return;
    }
    struct gateway *g = &k->gateway;
    gather(b, g);
    g->conf = &b->config->link;
    g->clock = &weir_clock_os;
    g->secret = weir_sv_of(k->secret);
    g->stop = &k->stop;
    g->added = g->removed = 0;
    k->work.data = k;
    k->is_due = false;
    k->due_ms = now + LOOK_MS;
    k->busy = uv_queue_work(&b->loop, &k->work, look, looked) == 0;
}

/* ---- leases ---- */

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Says of the lease by what address its machine is known, or why it waits. */
static void note(struct broker *b, struct weir_lease_id lease, const char *begin, const char *rest)
{
    struct weir_lease_note n = {{0}};
    char text[sizeof n.text] = "";
    (void)weir_engine_lease_get_note(b->engine, lease, &n);
    (void)snprintf(text, sizeof text, "%s%s", begin, rest);
    bool is_mine = n.text[0] == '\0' || begins(n.text, waits) || begins(n.text, known);
    if (is_mine && !weir_streq(n.text, text)) {
        memcpy(n.text, text, sizeof n.text);
        weir_engine_lease_note(b->engine, lease, &n);
        broker_wake(b);
    }
}

bool link_reaches(const struct broker *b, const struct provider *p, struct weir_check *c)
{
    const char *endpoint = json_string_value(json_object_get(b->config->provider[p - b->provider].section, "endpoint"));
    bool is_here = weir_streq(p->ops->name, "sandbox") || (endpoint != NULL && weir_url_is_loopback(endpoint)); /* so may its machines be */
    if (is_here || applies(b, p->ops->name) || !weir_url_is_loopback(b->public_url)) {
        return true;
    }
    *c = (struct weir_check){.name = "address", .verdict = WEIR_CHECK_FAILED};
    (void)snprintf(c->text, sizeof c->text, "machines cannot reach the broker at %s, which is this host alone: none is rented", b->public_url);
    (void)snprintf(c->remedy, sizeof c->remedy, "set public_url, and listen, to an address that they reach, or add a section wireguard");
    return false;
}

enum link_verdict link_admits(struct broker *b, const struct lease_watch *w)
{
    struct link *k = b->link;
    struct weir_check c;
    if (!applies(b, w->provider->ops->name)) {
        return link_reaches(b, w->provider, &c) ? LINK_READY : LINK_NONE;
    }
    for (size_t i = 0; i < k->peers.n; i++) {
        const struct link_peer *p = &k->peers.p[i];
        if (p->lease.v != w->lease.v) {
            continue;
        }
        if (p->is_there) {
            char address[LINK_ADDRESS_SIZE];
            link_address_of(&b->config->link.network, w->lease, address);
            address[strcspn(address, "/")] = '\0';
            note(b, w->lease, known, address);
            return LINK_READY;
        }
        if (p->is_taken) {
            return LINK_TAKEN;
        }
    }
    k->is_due = true;
    if (k->text[0] != '\0') {
        note(b, w->lease, waits, k->text);
    }
    return LINK_WAIT;
}

void link_launch(struct broker *b, const struct lease_watch *w, struct weir_launch *l, struct link_end *ret)
{
    *ret = (struct link_end){.routes = WEIR_STR_INIT(TEXT_BYTES_MAX), .dns = WEIR_STR_INIT(TEXT_BYTES_MAX), .domains = WEIR_STR_INIT(TEXT_BYTES_MAX)};
    if (!applies(b, w->provider->ops->name)) {
        return;
    }
    const struct weir_config_link *c = &b->config->link;
    link_keys_of(c, weir_sv_of(b->link->secret), w->lease, &ret->keys);
    for (size_t i = 0; i < c->n_routes; i++) {
        char text[WEIR_NET_SIZE];
        weir_str_addf(&ret->routes, "%s%s", i > 0 ? ", " : "", weir_net_format(&c->route[i], text));
    }
    for (size_t i = 0; i < c->n_dns; i++) {
        weir_str_addf(&ret->dns, "%s%s", i > 0 ? " " : "", c->dns[i]);
    }
    for (size_t i = 0; i < c->n_domains; i++) {
        weir_str_addf(&ret->domains, "%s\"~%s\"", i > 0 ? " " : "", c->domain[i]);
    }
    if (c->n_domains == 0) {
        weir_str_adds(&ret->domains, "\"~.\"");
    }
    ret->link = (struct weir_launch_link){.private_key = ret->keys.private_key, .preshared_key = ret->keys.preshared_key, .address = ret->keys.address,
                                          .peer = b->link->public_key, .endpoint = c->endpoint, .routes = weir_str_cstr(&ret->routes), .dns = weir_str_cstr(&ret->dns), .domains = weir_str_cstr(&ret->domains),
                                          .keepalive_s = (uint32_t)(c->keepalive.us / WEIR_US_PER_S), .mtu = c->mtu};
    l->link = &ret->link;
    l->broker_url = c->url;
}

void link_end_release(struct link_end *e)
{
    explicit_bzero(&e->keys, sizeof e->keys);
    weir_str_release(&e->routes);
    weir_str_release(&e->dns);
    weir_str_release(&e->domains);
}

bool link_status(const struct broker *b, char *text, size_t size, const char **ret_remedy)
{
    const struct link *k = b->link;
    *ret_remedy = k->remedy;
    if (!k->has_looked) {
        (void)snprintf(text, size, "the gateway is being asked");
        *ret_remedy = "ask again in a few seconds";
        return true;
    }
    if (k->text[0] != '\0') {
        (void)snprintf(text, size, "%s", k->text);
        return false;
    }
    (void)snprintf(text, size, "interface %s, public key %s, at %s: %zu rented %s peers", b->config->link.interface, k->public_key, b->config->link.endpoint, k->peers.n,
                   k->peers.n == 1 ? "machine has its" : "machines have their");
    if (b->ca_pem == NULL) { /* what serves others is not ours, and may be there */
        size_t n = strlen(text);
        (void)snprintf(text + n, size - n, "; this broker listens on loopback alone, so something else has to answer at %s", b->config->link.url);
    }
    return true;
}
