/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stddef.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/parse.h"
#include "base/vec.h"
#include "config_priv.h"

enum {
    CONFIG_BYTES_MAX = 1 << 20,
    HOST_PURCHASE_UNITS = 3000, /* assumed for a host without GPUs; USD, as what else is assumed */
    TARIFF_MICRO = 200000,      /* of a kWh */
    WATTS_PER_CORE = 8,         /* modelled: a server core under load */
    WATTS_HOST_IDLE = 60,
    PUE_MILLI_RENTED = 1200, /* assumed of the house of a rented machine: a little above what docs/guide/carbon.md names */
};

int config_fail_at(struct config_loader *l, const struct doc *d, const char *what)
{
    return weir_fail(l->err, -WEIR_ECONFIG, "%s:%u:%u: %s", l->file, d->line, d->column, what);
}

int config_fail_value(struct config_loader *l, const struct doc *d)
{
    struct weir_err inner = *l->err;
    return weir_fail(l->err, -WEIR_ECONFIG, "%s:%u:%u: '%.*s': %s", l->file, d->line, d->column, WEIR_SV_ARG(d->key),
                     inner.text);
}

int config_read_rows(struct config_loader *l, const struct doc *map, const struct config_row *rows, size_t n, void *base)
{
    if (map->kind == DOC_NULL) {
        return 0;
    }
    if (map->kind != DOC_MAP) {
        return config_fail_at(l, map, "a mapping of keys to values is wanted here");
    }
    for (const struct doc *d = map->first; d != NULL; d = d->next) {
        size_t i = 0;
        while (i < n && !weir_sv_eq(d->key, weir_sv_of(rows[i].key))) {
            i++;
        }
        if (i == n) {
            const char *names[64] = {0};
            for (size_t k = 0; k < n && k < 63; k++) {
                names[k] = rows[k].key;
            }
            const char *near = weir_nearest(d->key, names);
            return weir_fail(l->err, -WEIR_ECONFIG, "%s:%u:%u: unknown key '%.*s'%s%s%s", l->file, d->key_line,
                             d->key_column, WEIR_SV_ARG(d->key), near ? "; did you mean '" : "", near ? near : "",
                             near ? "'?" : "");
        }
        int r = rows[i].read(l, d, (char *)base + rows[i].offset);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

int config_scalar(struct config_loader *l, const struct doc *d)
{
    return d->kind == DOC_SCALAR ? 0 : config_fail_at(l, d, "a single value is wanted here");
}

int config_read_money(struct config_loader *l, const struct doc *d, void *target)
{
    int64_t v;
    int r = config_scalar(l, d);
    if (r == 0 && weir_parse_money_in(d->text, l->c->currency, &v, l->err) != 0) {
        return config_fail_value(l, d);
    }
    if (r == 0 && v < 0) {
        return config_fail_at(l, d, "must not be negative");
    }
    if (r == 0) {
        memcpy(target, &v, sizeof v);
    }
    return r;
}

int config_read_duration(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_dur v;
    int r = config_scalar(l, d);
    if (r == 0 && weir_parse_duration(d->text, &v, l->err) != 0) {
        return config_fail_value(l, d);
    }
    if (r == 0 && (v.us <= 0 || v.us > 36500 * WEIR_US_PER_DAY)) {
        return config_fail_at(l, d, "must be more than nothing and at most 100 years");
    }
    if (r == 0) {
        memcpy(target, &v, sizeof v);
    }
    return r;
}

int config_read_u32(struct config_loader *l, const struct doc *d, void *target)
{
    uint64_t v;
    int r = config_scalar(l, d);
    if (r == 0 && weir_parse_u64(d->text, 0, UINT32_MAX, &v, l->err) != 0) {
        return config_fail_value(l, d);
    }
    if (r == 0) {
        uint32_t v32 = (uint32_t)v;
        memcpy(target, &v32, sizeof v32);
    }
    return r;
}

static int read_bytes(struct config_loader *l, const struct doc *d, void *target)
{
    uint64_t v;
    int r = config_scalar(l, d);
    if (r == 0 && weir_parse_bytes(d->text, 1, &v, l->err) != 0) {
        return config_fail_value(l, d);
    }
    if (r == 0) {
        memcpy(target, &v, sizeof v);
    }
    return r;
}

static int read_milli(struct config_loader *l, const struct doc *d, void *target)
{
    int64_t v;
    int r = config_scalar(l, d);
    if (r == 0 && weir_parse_decimal(d->text, 3, &v, l->err) != 0) {
        return config_fail_value(l, d);
    }
    if (r == 0 && (v < 1000 || v > 10000)) {
        return config_fail_at(l, d, "must be between 1 and 10");
    }
    if (r == 0) {
        uint32_t v32 = (uint32_t)v;
        memcpy(target, &v32, sizeof v32);
    }
    return r;
}

int config_read_bool(struct config_loader *l, const struct doc *d, void *target)
{
    bool v;
    int r = config_scalar(l, d);
    if (r == 0 && weir_parse_bool(d->text, &v, l->err) != 0) {
        return config_fail_value(l, d);
    }
    if (r == 0) {
        memcpy(target, &v, sizeof v);
    }
    return r;
}

int config_read_string(struct config_loader *l, const struct doc *d, char *target, size_t size)
{
    int r = config_scalar(l, d);
    if (r == 0 && (d->text.n >= size || !weir_utf8_is_text(d->text))) {
        return config_fail_at(l, d, "text is too long or not text");
    }
    if (r == 0) {
        memcpy(target, d->text.p, d->text.n);
        target[d->text.n] = '\0';
    }
    return r;
}

static int read_listen(struct config_loader *l, const struct doc *d, void *target)
{
    return config_read_string(l, d, target, sizeof l->c->listen);
}

static int read_url(struct config_loader *l, const struct doc *d, void *target)
{
    return config_read_string(l, d, target, sizeof l->c->public_url);
}

static int read_dir(struct config_loader *l, const struct doc *d, void *target)
{
    return config_read_string(l, d, target, sizeof l->c->catalogue_dir);
}

static int read_cert(struct config_loader *l, const struct doc *d, void *target)
{
    return config_read_string(l, d, target, sizeof l->c->tls.cert);
}

static int read_tls(struct config_loader *l, const struct doc *d, void *target)
{
    static const struct config_row rows[] = {
        {"cert", read_cert, offsetof(struct weir_config_tls, cert)},
        {"key", read_cert, offsetof(struct weir_config_tls, key)},
        {"ca", read_cert, offsetof(struct weir_config_tls, ca)},
    };
    const struct weir_config_tls *tls = target;
    int r = config_read_rows(l, d, rows, WEIR_ARRAY_LEN(rows), target);
    return r == 0 && (tls->cert[0] == '\0') != (tls->key[0] == '\0') ? config_fail_at(l, d, "tls: both cert and key are wanted, or none") : r;
}

static int read_imports(struct config_loader *l, const struct doc *d, void *target)
{
    (void)target;
    if (d->kind != DOC_MAP) {
        return config_fail_at(l, d, "a mapping of provider names to files is wanted here");
    }
    for (const struct doc *p = d->first; p != NULL; p = p->next) {
        if (l->c->n_imports == WEIR_CONFIG_PROVIDERS_MAX || p->key.n == 0 || p->key.n >= WEIR_PROVIDER_SIZE) {
            return config_fail_at(l, p, "too many files, or a provider's name that is too long");
        }
        struct weir_config_import *i = &l->c->import[l->c->n_imports++];
        memcpy(i->provider, p->key.p, p->key.n);
        int r = config_read_string(l, p, i->file, sizeof i->file);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

static int read_currency(struct config_loader *l, const struct doc *d, void *target)
{
    int r = config_scalar(l, d);
    if (r != 0) {
        return r;
    }
    char code[WEIR_CURRENCY_SIZE] = "";
    if (d->text.n == sizeof code - 1) {
        memcpy(code, d->text.p, d->text.n);
    }
    if (!weir_currency_is_known(code)) {
        return config_fail_at(l, d, "currency: the code of a currency in three capitals is wanted here, such as EUR");
    }
    memcpy(target, code, sizeof code);
    return 0;
}

static int read_names(struct config_loader *l, const struct doc *d, void *target)
{
    (void)target;
    if (d->kind != DOC_LIST || d->n > 32) {
        return config_fail_at(l, d, "a list of at most 32 host names is wanted here");
    }
    l->c->names = weir_calloc(d->n + 1, sizeof *l->c->names);
    size_t n = 0;
    for (const struct doc *i = d->first; i != NULL; i = i->next) {
        if (i->kind != DOC_SCALAR || i->text.n == 0 || i->text.n > 253) {
            return config_fail_at(l, i, "a host name or address is wanted here");
        }
        l->c->names[n++] = weir_strndup(i->text.p, i->text.n);
    }
    return 0;
}

static int read_policy(struct config_loader *l, const struct doc *d, void *target)
{
    static const struct config_row rows[] = {
        {"fair_half_life", config_read_duration, offsetof(struct weir_core_conf, fair_half_life)},
        {"delay_cost", config_read_money, offsetof(struct weir_core_conf, delay_cost_micro_per_hour)},
        {"age_points_per_hour", config_read_u32, offsetof(struct weir_core_conf, age_points_per_hour)},
        {"yield_per_mille", config_read_u32, offsetof(struct weir_core_conf, yield_per_mille)},
        {"review_period", config_read_duration, offsetof(struct weir_core_conf, review_period)},
        {"leases_max", config_read_u32, offsetof(struct weir_core_conf, leases_max)},
        {"spend_per_hour_max", config_read_money, offsetof(struct weir_core_conf, spend_micro_per_hour_max)},
        {"lease_term", config_read_duration, offsetof(struct weir_core_conf, lease_term)},
        {"boot_limit", config_read_duration, offsetof(struct weir_core_conf, boot_limit)},
        {"lost_grace", config_read_duration, offsetof(struct weir_core_conf, lost_grace)},
        {"capacity_memory", config_read_duration, offsetof(struct weir_core_conf, capacity_memory)},
        {"retries_lost_max", config_read_u32, offsetof(struct weir_core_conf, retries_lost_max)},
        {"preempt_priority_gap", config_read_u32, offsetof(struct weir_core_conf, preempt_priority_gap)},
        {"reservations_max", config_read_u32, offsetof(struct weir_core_conf, reservations_max)},
        {"spill", config_read_bool, offsetof(struct weir_core_conf, spill)},
        {"learn_offers", config_read_bool, offsetof(struct weir_core_conf, learn_offers)},
    };
    int r = config_read_rows(l, d, rows, WEIR_ARRAY_LEN(rows), target);
    /* an extension goes out at half the term, and must reach the machine before the term is over */
    if (r == 0 && ((struct weir_core_conf *)target)->lease_term.us < WEIR_US_PER_MIN) {
        return config_fail_at(l, d, "policy: lease_term must be at least 60s");
    }
    if (r == 0 && ((struct weir_core_conf *)target)->review_period.us < WEIR_US_PER_S) {
        return config_fail_at(l, d, "policy: review_period must be at least 1s");
    }
    return r;
}

static int read_retention(struct config_loader *l, const struct doc *d, void *target)
{
    static const struct config_row rows[] = {
        {"events", config_read_duration, offsetof(struct weir_config_retention, events)},
        {"explains", config_read_duration, offsetof(struct weir_config_retention, explains)},
        {"logs", config_read_duration, offsetof(struct weir_config_retention, logs)},
        {"audit", config_read_duration, offsetof(struct weir_config_retention, audit)},
    };
    return config_read_rows(l, d, rows, WEIR_ARRAY_LEN(rows), target);
}

static int read_cost(struct config_loader *l, const struct doc *d, void *target)
{
    static const struct config_row rows[] = {
        {"purchase", config_read_money, offsetof(struct weir_config_pool, cost.purchase_micro)},
        {"residual", config_read_money, offsetof(struct weir_config_pool, cost.residual_micro)},
        {"life", config_read_duration, offsetof(struct weir_config_pool, cost.life)},
        {"upkeep_per_year", config_read_money, offsetof(struct weir_config_pool, cost.upkeep_micro_per_year)},
        {"tariff_per_kwh", config_read_money, offsetof(struct weir_config_pool, cost.tariff_micro_per_kwh)},
        {"tariff", config_read_tariff, 0},
        {"tariff_file", config_read_tariff_file, 0},
        {"carbon_per_kwh", config_read_carbon_per_kwh, 0},
        {"carbon", config_read_carbon, 0},
        {"carbon_file", config_read_carbon_file, 0},
        {"pue", read_milli, offsetof(struct weir_config_pool, cost.pue_milli)},
        {"idle_watts", config_read_u32, offsetof(struct weir_config_pool, cost.idle_watts)},
        {"busy_watts", config_read_u32, offsetof(struct weir_config_pool, cost.busy_watts)},
    };
    struct weir_config_pool *pool = target;
    int r = config_read_rows(l, d, rows, WEIR_ARRAY_LEN(rows), pool);
    if (r != 0) {
        return r;
    }
    for (const struct doc *k = d->first; k != NULL; k = k->next) {
        pool->has_purchase |= weir_sv_eq(k->key, WEIR_SV("purchase"));
        pool->has_upkeep |= weir_sv_eq(k->key, WEIR_SV("upkeep_per_year"));
        pool->has_idle_watts |= weir_sv_eq(k->key, WEIR_SV("idle_watts"));
        pool->has_busy_watts |= weir_sv_eq(k->key, WEIR_SV("busy_watts"));
        pool->has_pue |= weir_sv_eq(k->key, WEIR_SV("pue"));
    }
    if (pool->cost.residual_micro > pool->cost.purchase_micro) {
        return config_fail_at(l, d, "residual is more than purchase");
    }
    if (pool->has_busy_watts && pool->cost.busy_watts < pool->cost.idle_watts) {
        return config_fail_at(l, d, "busy_watts is less than idle_watts");
    }
    return 0;
}

static const struct weir_config_pool pool_default = {
    .cost =
        {
            .life = {INT64_C(4) * 365 * 24 * WEIR_US_PER_HOUR},
            .tariff_micro_per_kwh = -1,
            .pue_milli = 1400,
        },
    .carbon = {.ug_per_kwh = -1},
};

static int read_pools(struct config_loader *l, const struct doc *d, void *target)
{
    static const struct config_row rows[] = {{"cost", read_cost, 0}};
    (void)target;
    if (d->kind != DOC_MAP) {
        return config_fail_at(l, d, "a mapping of pool names is wanted here");
    }
    for (const struct doc *p = d->first; p != NULL; p = p->next) {
        if (l->c->n_pools == WEIR_CONFIG_POOLS_MAX || p->key.n == 0 || p->key.n >= sizeof l->c->pool[0].name) {
            return config_fail_at(l, p, "too many pools, or a name of over 63 bytes");
        }
        struct weir_config_pool *pool = &l->c->pool[l->c->n_pools++];
        *pool = pool_default;
        memcpy(pool->name, p->key.p, p->key.n);
        int r = config_read_rows(l, p, rows, WEIR_ARRAY_LEN(rows), pool);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

/* Provider sections go on as JSON: each driver checks its own keys. */
static json_t *to_json(const struct doc *d)
{
    bool truth;
    int64_t whole;
    json_t *j;
    switch (d->kind) {
    case DOC_NULL:
        return json_null();
    case DOC_LIST:
        j = json_array();
        for (const struct doc *i = d->first; i != NULL; i = i->next) {
            json_array_append_new(j, to_json(i));
        }
        return j;
    case DOC_MAP:
        j = json_object();
        for (const struct doc *i = d->first; i != NULL; i = i->next) {
            char *key = weir_strndup(i->key.p, i->key.n);
            json_object_set_new(j, key, to_json(i));
            free(key);
        }
        return j;
    case DOC_SCALAR:
        break;
    }
    if (d->type == DOC_PLAIN && (weir_sv_eq(d->text, WEIR_SV("true")) || weir_sv_eq(d->text, WEIR_SV("false"))) &&
        weir_parse_bool(d->text, &truth, NULL) == 0) {
        return json_boolean(truth);
    }
    if (d->type == DOC_PLAIN && weir_parse_i64(d->text, INT64_MIN, INT64_MAX, &whole, NULL) == 0) {
        return json_integer(whole);
    }
    return json_stringn(d->text.p, d->text.n);
}

static int read_providers(struct config_loader *l, const struct doc *d, void *target)
{
    (void)target;
    if (d->kind != DOC_MAP) {
        return config_fail_at(l, d, "a mapping of provider names is wanted here");
    }
    for (const struct doc *p = d->first; p != NULL; p = p->next) {
        if (l->c->n_providers == WEIR_CONFIG_PROVIDERS_MAX || p->key.n >= WEIR_PROVIDER_SIZE) {
            return config_fail_at(l, p, "too many providers, or a name that is too long");
        }
        struct weir_config_provider *x = &l->c->provider[l->c->n_providers++];
        memcpy(x->name, p->key.p, p->key.n);
        x->section = p->kind == DOC_NULL ? json_object() : to_json(p);
    }
    return 0;
}

static int read_committed(struct config_loader *l, const struct doc *d, void *target)
{
    (void)target;
    if (d->kind != DOC_LIST) {
        return config_fail_at(l, d, "a list of commitments is wanted here");
    }
    for (const struct doc *i = d->first; i != NULL; i = i->next) {
        struct weir_err why = {""};
        json_t *section = to_json(i);
        int r = committed_read(l->c, section, i->line, &why);
        json_decref(section);
        if (r != 0) {
            return config_fail_at(l, i, why.text);
        }
    }
    return 0;
}

static int read_all(struct config_loader *l, const struct doc *root)
{
    static const struct config_row rows[] = {
        {"listen", read_listen, offsetof(struct weir_config, listen)},
        {"public_url", read_url, offsetof(struct weir_config, public_url)},
        {"names", read_names, 0},
        {"currency", read_currency, offsetof(struct weir_config, currency)},
        {"policy", read_policy, offsetof(struct weir_config, core)},
        {"pools", read_pools, 0},
        {"providers", read_providers, 0},
        {"committed", read_committed, 0},
        {"node_silence", config_read_duration, offsetof(struct weir_config, node_silence)},
        {"retention", read_retention, offsetof(struct weir_config, retention)},
        {"ledger_check", config_read_duration, offsetof(struct weir_config, ledger_check)},
        {"log_bytes_max", read_bytes, offsetof(struct weir_config, log_bytes_max)},
        {"alerts", config_read_alerts, offsetof(struct weir_config, alerts)},
        {"catalogue_import", read_imports, 0},
        {"catalogue", read_dir, offsetof(struct weir_config, catalogue_dir)},
        {"agent_programs", read_dir, offsetof(struct weir_config, agent_programs)},
        {"tls", read_tls, offsetof(struct weir_config, tls)},
        {"access", config_read_access, offsetof(struct weir_config, access)},
        {"wireguard", config_read_link, offsetof(struct weir_config, link)},
    };
    /* what amounts are in comes first, wherever it stands */
    int r = 0;
    for (const struct doc *d = root->kind == DOC_MAP ? root->first : NULL; d != NULL && r == 0; d = d->next) {
        r = weir_sv_eq(d->key, WEIR_SV("currency")) ? read_currency(l, d, l->c->currency) : 0;
    }
    return r != 0 ? r : config_read_rows(l, root, rows, WEIR_ARRAY_LEN(rows), l->c);
}

/* Projects keep what an hour of waiting was worth when they were made, so it may not hang on a rate that may be there or not. */
static int check_delay_cost(struct weir_config *c, const char *name, struct weir_err *err)
{
    if (c->core.delay_cost_micro_per_hour >= 0) {
        return 0;
    }
    if (!weir_streq(c->currency, "USD")) {
        return weir_fail(err, -WEIR_ECONFIG, "%s: policy.delay_cost is missing: what an hour of waiting is worth must be said in a ledger in %s (weir's own value is 0.10 USD)",
                         name, c->currency);
    }
    c->core.delay_cost_micro_per_hour = weir_core_conf_default().delay_cost_micro_per_hour;
    return 0;
}

int weir_config_parse(struct weir_config **ret, struct weir_sv text, const char *name, struct weir_err *err)
{
    struct weir_config *c = weir_alloc(sizeof *c);
    memcpy(c->currency, "USD", 4);
    memcpy(c->listen, "127.0.0.1:7070", 15);
    c->core = weir_core_conf_default();
    c->core.delay_cost_micro_per_hour = -1; /* not said */
    c->node_silence = weir_dur_s(60);
    c->access.certificate_life = weir_dur_s(7 * 86400);
    c->log_bytes_max = UINT64_C(256) << 20;
    c->ledger_check = weir_dur_s(86400);
    c->alerts = weir_config_alerts_default();
    c->retention = (struct weir_config_retention){weir_dur_s(90 * 86400), weir_dur_s(90 * 86400), weir_dur_s(30 * 86400), weir_dur_s(400 * 86400)};
    int r = 0;
    if (text.p != NULL) {
        struct weir_arena arena = {0};
        struct doc *root = NULL; /* stays so for an empty file */
        struct weir_err scratch = {0};
        struct config_loader l = {c, name, err == NULL ? &scratch : err};
        if (doc_from_yaml(text, name, &arena, &root, l.err) < 0) {
            r = -WEIR_ECONFIG;
        } else if (root != NULL) {
            r = read_all(&l, root);
        }
        weir_arena_release(&arena);
    }
    r = r != 0 ? r : check_delay_cost(c, name, err);
    if (r != 0) {
        weir_config_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

int weir_config_load(struct weir_config **ret, const char *path, struct weir_err *err)
{
    if (path == NULL) {
        return weir_config_parse(ret, (struct weir_sv){0}, "", err);
    }
    WEIR_CLEANUP(weir_freep) char *text = NULL;
    size_t n = 0;
    int r = weir_file_read(path, CONFIG_BYTES_MAX, &text, &n, err);
    if (r != 0) {
        return weir_fail_prefix(err, r, "configuration file");
    }
    r = weir_config_parse(ret, (struct weir_sv){text, n}, path, err);
    if (r == 0) {
        r = config_access_load(&(*ret)->access, err);
        if (r != 0) {
            weir_config_free(*ret);
            *ret = NULL;
        }
    }
    return r;
}

void weir_config_free(struct weir_config *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; i < c->n_pools; i++) {
        config_release_grid(&c->pool[i]);
    }
    for (size_t i = 0; i < c->n_providers; i++) {
        json_decref(c->provider[i].section);
    }
    for (size_t i = 0; c->names != NULL && c->names[i] != NULL; i++) {
        free(c->names[i]);
    }
    free(c->names);
    config_free_alerts(&c->alerts);
    config_access_release(&c->access);
    free(c);
}

static const struct weir_config_pool *find_pool(const struct weir_config *c, const char *name)
{
    const struct weir_config_pool *p = &pool_default;
    for (size_t i = 0; i < c->n_pools; i++) {
        p = weir_streq(c->pool[i].name, name) ? &c->pool[i] : p;
    }
    return p;
}

/* The watts that are not configured: from the table of GPU models and the cores. */
static void assume_watts(const struct weir_config_pool *p, const struct weir_node_spec *node, const struct weir_gpu_table *gpus,
                         struct weir_owned_cost *cost)
{
    uint32_t idle = WATTS_HOST_IDLE;
    uint32_t busy = WATTS_HOST_IDLE + node->cpu_milli / 1000 * WATTS_PER_CORE;
    if (node->gpus > 0 && node->gpu_model != WEIR_GPU_MODEL_ANY) {
        const struct weir_gpu_model *m = weir_gpu_table_get(gpus, node->gpu_model);
        idle += node->gpus * m->idle_watts;
        busy += node->gpus * m->watts;
    }
    /* where one of the two is given, the other is at least, or at most, that */
    if (!p->has_busy_watts) {
        cost->busy_watts = busy > cost->idle_watts ? busy : cost->idle_watts;
    }
    if (!p->has_idle_watts) {
        cost->idle_watts = idle < cost->busy_watts ? idle : cost->busy_watts;
    }
}

static void add_carbon(const struct weir_config_pool *p, const struct weir_node_spec *node, struct weir_wall at, struct weir_owned_cost *cost,
                       struct weir_wall *ret_until)
{
    int64_t ug = config_carbon_at(&p->carbon, node->region, at, ret_until);
    cost->has_carbon = ug >= 0;
    cost->carbon_ug_per_kwh = ug >= 0 ? ug : 0;
}

/* What is assumed in USD; nothing where it is not known what that is. */
static int64_t of_usd(int64_t micro, int64_t usd_nano)
{
    int64_t v = 0;
    return weir_money_exchange_up(micro, usd_nano, &v) ? v : 0;
}

struct weir_owned_cost weir_config_owned_cost(const struct weir_config *c,
                                              const char *pool,
                                              const struct weir_node_spec *node,
                                              const struct weir_gpu_table *gpus,
                                              const struct weir_config_market *market,
                                              struct weir_wall at,
                                              struct weir_wall *ret_until)
{
    const struct weir_config_pool *p = find_pool(c, pool);
    struct weir_owned_cost cost = p->cost;
    struct weir_wall changes = WEIR_WALL_MAX;
    if (cost.tariff_micro_per_kwh < 0) {
        cost.tariff_micro_per_kwh = of_usd(TARIFF_MICRO, market->usd_nano);
    }
    if (p->prices != NULL) {
        int64_t price = weir_grid_at(p->prices, at);
        cost.tariff_micro_per_kwh = price > 0 ? price : 0; /* energy that is given away costs nothing */
        changes = weir_grid_next(p->prices, at);
    }
    cost.tariff_micro_per_kwh = weir_tariff_at(&p->tariff, cost.tariff_micro_per_kwh, at, ret_until);
    ret_until->us = changes.us < ret_until->us ? changes.us : ret_until->us;
    if (!p->has_purchase) {
        int64_t year = weir_mul_div_sat(market->rent_micro, 365 * 24, 1);
        cost.purchase_micro = of_usd(HOST_PURCHASE_UNITS * WEIR_MICRO_PER_UNIT, market->usd_nano) + weir_mul_div_sat(year, node->gpus, 1);
        cost.residual_micro = cost.purchase_micro / 10;
    }
    if (!p->has_purchase && !p->has_upkeep) {
        cost.upkeep_micro_per_year = cost.purchase_micro / 20;
    }
    assume_watts(p, node, gpus, &cost);
    add_carbon(p, node, at, &cost, &changes);
    ret_until->us = changes.us < ret_until->us ? changes.us : ret_until->us;
    return cost;
}

struct weir_owned_cost weir_config_rented_cost(const struct weir_config *c,
                                               const char *pool,
                                               const struct weir_node_spec *node,
                                               const struct weir_gpu_table *gpus,
                                               struct weir_wall at,
                                               struct weir_wall *ret_until)
{
    const struct weir_config_pool *p = find_pool(c, pool);
    struct weir_owned_cost cost = {.idle_watts = p->cost.idle_watts,
                                   .busy_watts = p->cost.busy_watts,
                                   .pue_milli = p->has_pue ? p->cost.pue_milli : PUE_MILLI_RENTED};
    bool knows_gpus = node->gpus == 0 || (node->gpu_model != WEIR_GPU_MODEL_ANY && weir_gpu_table_get(gpus, node->gpu_model)->watts > 0);
    if (knows_gpus || p->has_busy_watts) {
        assume_watts(p, node, gpus, &cost);
    }
    add_carbon(p, node, at, &cost, ret_until);
    return cost;
}
