/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What can be bought and at what price, as far as the price lists know it, and the rates by which a price in another currency counts in the
 * ledger's. Rates are rules of kind exchange. Where the one that is in force changes, lists are read and providers asked anew: machines that
 * run keep the rate of their quote.
 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/rule.h"
#include "base/file.h"
#include "base/mem.h"
#include "broker_priv.h"
#include "cloud/exchange.h"

#define NANO INT64_C(1000000000) /* of the ledger's own currency: one */

/* Where the price lists are: beside an installed program, else in the source tree that it was built from. */
static const char *catalogue_dir(void)
{
    return access(WEIR_INSTALLED_DATA "/catalogue", R_OK) == 0 ? WEIR_INSTALLED_DATA "/catalogue" : WEIR_SOURCE_DATA "/catalogue";
}

/* A price list as SkyPilot publishes them. It carries no date: the file's own is taken. */
static int import_prices(struct weir_catalogue *c, const char *provider, const char *file, struct weir_err *err)
{
    struct stat st;
    int WEIR_CLEANUP(weir_closep) fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        return weir_fail(err, -WEIR_ECONFIG, "%s: cannot be read: %s", file, strerror(errno));
    }
    WEIR_CLEANUP(weir_freep) char *text = NULL;
    size_t n = 0;
    int r = weir_file_read_fd(fd, file, WEIR_CATALOGUE_FILE_BYTES_MAX, &text, &n, err);
    if (r < 0) {
        return r;
    }
    size_t taken;
    const struct weir_wall as_of = {(int64_t)st.st_mtim.tv_sec * WEIR_US_PER_S};
    r = weir_catalogue_load_skypilot(c, file, (struct weir_sv){text, n}, provider, "SkyPilot catalogue file", as_of, &taken, err);
    if (r == 0) {
        weir_log(WEIR_LOG_NOTICE, "catalogue.import", "provider=%s rows=%zu file=\"%s\"", provider, taken, file);
    }
    return r;
}

static int read_lists(struct broker *b, struct weir_catalogue *c, struct weir_err *err)
{
    const char *dir = b->config->catalogue_dir[0] != '\0' ? b->config->catalogue_dir : catalogue_dir();
    for (size_t i = 0; i < b->market.rate.n; i++) {
        weir_catalogue_rate(c, b->market.rate.p[i].currency, b->market.rate.p[i].nano);
    }
    int r = weir_catalogue_load_dir(c, dir, err);
    if (r != 0) {
        return weir_fail_prefix(err, r, "catalogue");
    }
    for (size_t i = 0; i < b->config->n_imports; i++) {
        r = import_prices(c, b->config->import[i].provider, b->config->import[i].file, err);
        if (r != 0) {
            return weir_fail_prefix(err, r, "catalogue_import");
        }
    }
    weir_catalogue_seal(c);
    return 0;
}

static int market_load(struct broker *b, struct weir_err *err)
{
    struct market *m = &b->market;
    struct weir_catalogue *c = weir_catalogue_new(b->gpus, b->config->currency);
    pthread_mutex_lock(&b->gpus_lock);
    int r = read_lists(b, c, err);
    pthread_mutex_unlock(&b->gpus_lock);
    if (r != 0) {
        weir_catalogue_free(c);
        return r;
    }
    size_t kept;
    size_t problems;
    const struct weir_catalogue_problem *p = weir_catalogue_problems(c, &kept, &problems);
    if (problems > 0) {
        weir_log(WEIR_LOG_INFO, "catalogue.rows", "refused=%zu first=\"%s:%u: %s\"", problems, p[0].file, p[0].line, p[0].text);
    }
    weir_vec_clear(&m->offer);
    weir_vec_clear(&m->unpriced);
    weir_map_release(&m->at);
    m->foreign = false;
    size_t n;
    const struct weir_offer *o = weir_catalogue_offers(c, NULL, &n);
    for (size_t i = 0; i < n; i++) {
        weir_vec_push(&m->offer, o[i]);
        m->foreign |= o[i].currency[0] != '\0';
        if (b->config->n_providers > 0) {
            weir_map_put(&m->at, o[i].id, i);
        }
    }
    const struct weir_refused_offer *refused = weir_catalogue_refused(c, &n);
    for (size_t i = 0; i < n; i++) {
        m->foreign |= refused[i].offer.currency[0] != '\0';
        if (refused[i].refusal == WEIR_PRICE_REFUSED_CURRENCY) {
            weir_vec_push(&m->unpriced, refused[i].offer);
        }
    }
    weir_catalogue_free(c);
    return 0;
}

void market_release(struct broker *b)
{
    weir_vec_release(&b->market.offer);
    weir_map_release(&b->market.at);
    weir_vec_release(&b->market.unpriced);
    weir_vec_release(&b->market.rate);
    weir_vec_release(&b->market.asked);
}

/* ---- rates ---- */

struct gather {
    struct broker *b;
    struct weir_wall now;
    struct weir_wall due; /* another rate may be in force then */
};

/* Rules come in order of id; of those that are in force the last one added counts. */
static void gather_rate(void *ctx, const struct weir_rule_row *row)
{
    struct gather *g = ctx;
    struct weir_wall until = row->until.us == 0 ? WEIR_WALL_MAX : row->until;
    if (!weir_streq(row->kind, weir_rule_kind_name(WEIR_RULE_EXCHANGE)) || until.us <= g->now.us) {
        return;
    }
    struct weir_wall change = row->from.us > g->now.us ? row->from : until;
    g->due.us = change.us < g->due.us ? change.us : g->due.us;
    struct api_rule rule;
    json_t *body = json_loads(row->body, JSON_REJECT_DUPLICATES, NULL);
    bool holds = row->from.us <= g->now.us && body != NULL && api_rule_read(body, row->kind, &rule, NULL) == 0;
    json_decref(body);
    if (!holds) {
        return;
    }
    struct market_rate rate = {.nano = rule.rate_nano};
    for (size_t i = 0; i < 3; i++) {
        rate.currency[i] = (char)(rule.currency[i] >= 'a' && rule.currency[i] <= 'z' ? rule.currency[i] - 'a' + 'A' : rule.currency[i]);
    }
    size_t at = 0;
    while (at < g->b->market.rate.n && memcmp(g->b->market.rate.p[at].currency, rate.currency, sizeof rate.currency) != 0) {
        at++;
    }
    if (at < g->b->market.rate.n) {
        g->b->market.rate.p[at] = rate;
    } else if (at < WEIR_CATALOGUE_RATES_MAX) {
        weir_vec_push(&g->b->market.rate, rate);
    }
}

int64_t market_rate(void *broker, const char *currency)
{
    const struct broker *b = broker;
    if (weir_streq(currency, b->config->currency)) {
        return NANO;
    }
    for (size_t i = 0; i < b->market.rate.n; i++) {
        if (weir_streq(b->market.rate.p[i].currency, currency)) {
            return b->market.rate.p[i].nano;
        }
    }
    return 0;
}

static int gather_stored(void *ctx, const struct weir_rule_row *row)
{
    gather_rate(ctx, row);
    return 0;
}

/* Says what cannot be rented, a line for each currency that lacks a rate. */
static void notice_missing(const struct broker *b)
{
    char text[128];
    struct weir_unpriced missing[WEIR_CATALOGUE_RATES_MAX];
    size_t n = market_missing(b, missing, WEIR_ARRAY_LEN(missing));
    for (size_t i = 0; i < n; i++) {
        weir_log(WEIR_LOG_WARNING, "catalogue.rate", "currency=%s offers=%zu text=\"the ledger is in %s, and %s: these offers cannot be used until then\"",
                 missing[i].currency, missing[i].offers, b->config->currency, weir_offer_no_rate(missing[i].currency, text, sizeof text));
    }
}

size_t market_missing(const struct broker *b, struct weir_unpriced *ret, size_t max)
{
    const struct market *m = &b->market;
    size_t n = 0;
    for (size_t i = 0; i < m->unpriced.n; i++) {
        weir_unpriced_add(ret, &n, max, m->unpriced.p[i].currency);
    }
    return n;
}

void market_note_asked(struct broker *b, const char *provider)
{
    struct market *m = &b->market;
    struct market_asked a = {""};
    for (size_t i = 0; i < m->asked.n; i++) {
        if (weir_streq(m->asked.p[i].provider, provider)) {
            return;
        }
    }
    (void)snprintf(a.provider, sizeof a.provider, "%s", provider);
    weir_vec_push(&m->asked, a);
}

static bool is_asked(const struct market *m, const char *provider)
{
    size_t i = 0;
    while (i < m->asked.n && !weir_streq(m->asked.p[i].provider, provider)) {
        i++;
    }
    return i < m->asked.n;
}

static bool has_gpus(const struct weir_offer *o, const struct weir_request *request)
{
    bool fits = request->alternatives == 0;
    for (uint32_t i = 0; i < request->alternatives; i++) {
        const struct weir_gpu_wish *w = &request->alternative[i];
        fits |= (w->model == WEIR_GPU_MODEL_ANY || w->model == o->gpu_model) && o->gpus >= w->count;
    }
    return fits;
}

const char *market_no_rate(const struct broker *b, const struct weir_request *request)
{
    const struct market *m = &b->market;
    if (request != NULL && request->local == WEIR_LOCAL_ONLY) {
        return "";
    }
    for (size_t i = 0; i < b->n_providers; i++) { /* what it left out is not known: it may be what is wanted */
        if (b->provider[i].feed.no_rate[0] != '\0') {
            return b->provider[i].feed.no_rate;
        }
    }
    for (size_t i = 0; i < m->unpriced.n; i++) {
        const struct weir_offer *o = &m->unpriced.p[i];
        if ((request == NULL || has_gpus(o, request)) && is_asked(m, o->provider)) {
            return o->currency;
        }
    }
    return "";
}

int market_open(struct broker *b, struct weir_err *err)
{
    struct gather g = {.b = b, .now = weir_clock_wall(&weir_clock_os), .due = WEIR_WALL_MAX};
    int r = b->store->ops->each_rule(b->store, gather_stored, &g, err);
    b->market.rates_due = g.due;
    r = r != 0 ? r : market_load(b, err);
    if (r == 0) {
        notice_missing(b);
    }
    return r;
}

static bool rates_are(const struct market_rate *a, size_t n_a, const struct market_rate *b, size_t n_b)
{
    return n_a == n_b && (n_a == 0 || memcmp(a, b, n_a * sizeof *a) == 0);
}

void market_rates(struct broker *b)
{
    struct market *m = &b->market;
    struct gather g = {.b = b, .now = weir_engine_now(b->engine), .due = WEIR_WALL_MAX};
    WEIR_VEC(struct market_rate) before = {0};
    for (size_t i = 0; i < m->rate.n; i++) {
        weir_vec_push(&before, m->rate.p[i]);
    }
    weir_vec_clear(&m->rate);
    weir_engine_each_rule(b->engine, gather_rate, &g);
    m->rates_due = g.due;
    bool same = rates_are(before.p, before.n, m->rate.p, m->rate.n);
    weir_vec_release(&before);
    if (same) {
        return;
    }
    b->owned_due = (struct weir_wall){0}; /* what is assumed of owned machines is assumed in USD */
    struct weir_err err = {""};
    if (m->foreign && market_load(b, &err) != 0) {
        weir_log(WEIR_LOG_ERROR, "catalogue.load", "text=\"%s: the prices of before stand\"", err.text);
    }
    notice_missing(b);
    leases_rates_changed(b);
}

void market_tick(struct broker *b)
{
    if (weir_engine_now(b->engine).us >= b->market.rates_due.us) {
        market_rates(b);
    }
}
