/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Posting prices. On the slow lane, before prices are shown and before a month is closed: reads what is not closed, has it rated by
 * the rules, and hands what differs from what is posted to the deciding thread. Where somebody else's prices came first it
 * looks again.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"
#include "api/rule.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/vec.h"

struct machine {
    uint64_t lease;
    char *gpu;
};

struct rating {
    struct weir_store *store;
    WEIR_VEC(struct api_rule) rules;
    WEIR_VEC(struct weir_rule) plain; /* the same, for weir_rate */
    WEIR_VEC(struct weir_close) closes;
    WEIR_VEC(struct weir_wall) cuts;
    WEIR_VEC(struct weir_rate_weight) weights;
    struct weir_map named[3]; /* project, user, pool: (rule index << 32 | id) -> 1 */
    struct weir_map node;     /* id -> index of machines */
    WEIR_VEC(struct machine) machines;
    struct weir_map market; /* lease -> market + 1 */
    struct weir_map tagged; /* job -> index + 1 of tags */
    WEIR_VEC(char *) tags;
    struct weir_charges *charges;
    uint64_t ratings;
    struct weir_err *err;
};

enum { OF_PROJECT, OF_USER, OF_POOL };

static void rating_release(struct rating *x)
{
    for (size_t i = 0; i < x->machines.n; i++) {
        free(x->machines.p[i].gpu);
    }
    for (size_t i = 0; i < x->tags.n; i++) {
        free(x->tags.p[i]);
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(x->named); i++) {
        weir_map_release(&x->named[i]);
    }
    weir_vec_release(&x->rules);
    weir_vec_release(&x->plain);
    weir_vec_release(&x->closes);
    weir_vec_release(&x->cuts);
    weir_vec_release(&x->weights);
    weir_vec_release(&x->machines);
    weir_vec_release(&x->tags);
    weir_map_release(&x->node);
    weir_map_release(&x->market);
    weir_map_release(&x->tagged);
    weir_charges_free(x->charges);
}

/* ---- what is looked up ---- */

static int on_rule(void *ctx, const struct weir_rule_row *row)
{
    struct rating *x = ctx;
    struct api_rule r;
    json_t *body = json_loads(row->body, JSON_REJECT_DUPLICATES, NULL);
    int rc = body == NULL ? weir_fail(x->err, -WEIR_ECORRUPT, "what was stored of it is damaged") : api_rule_read(body, row->kind, &r, x->err);
    json_decref(body);
    if (rc < 0) {
        return weir_fail_prefix(x->err, -WEIR_ECORRUPT, "rule '%s'", row->name);
    }
    if (r.rule.kind != WEIR_RULE_EXCHANGE) {
        r.rule.id = row->id;
        r.rule.from = row->from;
        r.rule.until = row->until.us == 0 ? WEIR_WALL_MAX : row->until;
        weir_vec_push(&x->rules, r);
    }
    return 0;
}

static int on_close(void *ctx, const struct weir_close_row *row)
{
    struct rating *x = ctx;
    weir_vec_push(&x->closes, row->close);
    return 0;
}

static void name_it(struct rating *x, int what, uint32_t id, const char *name)
{
    for (size_t i = 0; i < x->rules.n; i++) {
        struct api_rule *r = &x->rules.p[i];
        const char *want = what == OF_PROJECT ? r->project : what == OF_USER ? r->user : r->pool;
        if (want[0] != '\0' && weir_streq(want, name)) {
            weir_map_put(&x->named[what], (uint64_t)i << 32 | id, 1);
            r->rule.pool.v = what == OF_POOL ? id : r->rule.pool.v;
        }
    }
}

static int on_project(void *ctx, const struct weir_project_row *row)
{
    struct rating *x = ctx;
    name_it(x, OF_PROJECT, row->view.id.v, row->name);
    weir_vec_push(&x->weights, (struct weir_rate_weight){row->view.id, row->view.weight});
    return 0;
}

static int on_user(void *ctx, const struct weir_name_row *row)
{
    name_it(ctx, OF_USER, row->id, row->name);
    return 0;
}

static int on_pool(void *ctx, const struct weir_name_row *row)
{
    name_it(ctx, OF_POOL, row->id, row->name);
    return 0;
}

static int on_node(void *ctx, const struct weir_node_row *row)
{
    struct rating *x = ctx;
    weir_map_put(&x->node, row->view.spec.id.v, x->machines.n);
    weir_vec_push(&x->machines, (struct machine){row->view.spec.lease.v, weir_strdup(row->gpu_model)});
    return 0;
}

static int on_lease(void *ctx, const struct weir_lease_row *row)
{
    struct rating *x = ctx;
    weir_map_put(&x->market, row->view.id.v, (uint64_t)row->view.offer.market + 1);
    return 0;
}

static int on_job(void *ctx, const struct weir_job_row *row)
{
    struct rating *x = ctx;
    weir_vec_push(&x->tags, weir_strdup(row->tags_json));
    return 0;
}

static bool has_tag(struct rating *x, const char *tag, struct weir_job_id job)
{
    uint64_t at;
    if (job.v == 0) {
        return false;
    }
    if (!weir_map_get(&x->tagged, job.v, &at)) {
        size_t n = x->tags.n;
        if (x->store->ops->get_job(x->store, job, on_job, x, NULL) < 0 || x->tags.n == n) {
            weir_vec_push(&x->tags, weir_strdup("{}"));
        }
        weir_map_put(&x->tagged, job.v, n);
        at = n;
    }
    struct weir_sv value = weir_sv_of(tag);
    struct weir_sv key = weir_sv_cut(&value, '=');
    WEIR_CLEANUP(weir_freep) char *name = weir_strndup(key.p, key.n);
    struct weir_sv found = weir_json_find(weir_sv_of(x->tags.p[at]), name);
    WEIR_CLEANUP(weir_freep) char *text = weir_json_text(found);
    return text != NULL ? weir_sv_eq(weir_sv_of(text), value) : found.p != NULL && weir_sv_eq(found, value);
}

/* Is the row of what the rule is for? What it does not name may be anything. */
static bool is_for(void *ctx, const struct weir_rule *rule, const struct weir_charge *row)
{
    struct rating *x = ctx;
    size_t i = (size_t)(rule - x->plain.p);
    const struct api_rule *r = &x->rules.p[i];
    const struct machine *m = NULL;
    uint64_t at;
    if ((r->project[0] != '\0' && !weir_map_get(&x->named[OF_PROJECT], (uint64_t)i << 32 | row->project.v, &at)) ||
        (r->user[0] != '\0' && !weir_map_get(&x->named[OF_USER], (uint64_t)i << 32 | row->user.v, &at)) ||
        (r->pool[0] != '\0' && !weir_map_get(&x->named[OF_POOL], (uint64_t)i << 32 | row->pool.v, &at))) {
        return false;
    }
    if (weir_map_get(&x->node, row->node.v, &at)) {
        m = &x->machines.p[at];
    }
    if (r->gpu[0] != '\0' && (m == NULL || !weir_streq(m->gpu, r->gpu))) {
        return false;
    }
    uint64_t market = 0;
    if (row->lease.v != 0) {
        (void)weir_map_get(&x->market, row->lease.v, &market);
    }
    unsigned class = row->lease.v == 0 ? API_RULE_CLASS_OWNED : (unsigned)market - 1;
    return (r->class == API_RULE_CLASSES || r->class == class) && (r->tag[0] == '\0' || has_tag(x, r->tag, row->job));
}

/* ---- the run ---- */

static int wall_order(const void *va, const void *vb)
{
    const struct weir_wall *a = va;
    const struct weir_wall *b = vb;
    return (a->us > b->us) - (a->us < b->us);
}

/* Rows may not lie across the beginning or end of a rule, or of what is closed. */
static void make_cuts(struct rating *x, struct weir_wall cut)
{
    for (size_t i = 0; i < x->rules.n; i++) {
        weir_vec_push(&x->cuts, x->rules.p[i].rule.from);
        weir_vec_push(&x->cuts, x->rules.p[i].rule.until);
    }
    for (size_t i = 0; i < x->closes.n; i++) {
        weir_vec_push(&x->cuts, x->closes.p[i].to);
    }
    weir_vec_push(&x->cuts, cut);
    qsort(x->cuts.p, x->cuts.n, sizeof *x->cuts.p, wall_order);
    size_t n = 0;
    for (size_t i = 0; i < x->cuts.n; i++) {
        if (n == 0 || x->cuts.p[n - 1].us != x->cuts.p[i].us) {
            x->cuts.p[n++] = x->cuts.p[i];
        }
    }
    x->cuts.n = n;
}

static int load(struct rating *x, struct weir_store *s, struct weir_err *err)
{
    char text[64] = "";
    int r = s->ops->get_meta(s, WEIR_META_RATINGS, text, sizeof text, err);
    r = r == 0 ? weir_parse_u64(weir_sv_of(text), 0, INT64_MAX, &x->ratings, err) : r == -WEIR_ENOTFOUND ? 0 : r;
    r = r < 0 ? r : s->ops->each_rule(s, on_rule, x, err);
    if (r < 0 || x->rules.n == 0) {
        return r;
    }
    r = s->ops->each_close(s, on_close, x, err);
    r = r < 0 ? r : s->ops->each_project(s, on_project, x, err);
    r = r < 0 ? r : s->ops->each_user(s, on_user, x, err);
    r = r < 0 ? r : s->ops->each_pool(s, on_pool, x, err);
    r = r < 0 ? r : s->ops->each_node(s, true, on_node, x, err);
    r = r < 0 ? r : s->ops->each_lease(s, true, on_lease, x, err);
    for (size_t i = 0; i < x->rules.n; i++) {
        weir_vec_push(&x->plain, x->rules.p[i].rule);
    }
    return r;
}

static int on_posting(void *ctx, const struct weir_posting *p)
{
    struct rating *x = ctx;
    if (p->currency[0] == '\0') {
        weir_charges_add(x->charges, p);
        return 0;
    }
    struct weir_posting plain = *p; /* a price has the ledger's */
    memset(plain.currency, 0, sizeof plain.currency);
    weir_charges_add(x->charges, &plain);
    return 0;
}

int api_rate(struct weir_store *s, struct weir_wall cut, struct weir_wall now, uint64_t *ret_ratings, struct weir_amendment **ret, size_t *ret_n,
             struct weir_err *err)
{
    struct rating x = {.err = err, .store = s};
    int r = load(&x, s, err);
    *ret = NULL;
    *ret_n = 0;
    *ret_ratings = x.ratings;
    if (r == 0 && x.rules.n > 0) {
        struct weir_wall from = x.closes.n == 0 ? (struct weir_wall){0} : x.closes.p[x.closes.n - 1].to;
        make_cuts(&x, cut);
        x.charges = weir_charges_new(from, WEIR_WALL_MAX, (struct weir_dur){WEIR_US_PER_DAY});
        weir_charges_closed(x.charges, (struct weir_closes){x.closes.p, x.closes.n});
        weir_charges_priced(x.charges);
        weir_charges_cut(x.charges, x.cuts.p, x.cuts.n);
        r = s->ops->each_billed(s, from, on_posting, &x, err);
        struct weir_rate_input in = {.rule = x.plain.p,
                                     .n_rules = x.plain.n,
                                     .weight = x.weights.p,
                                     .n_weights = x.weights.n,
                                     .is_for = is_for,
                                     .ctx = &x,
                                     .charges = x.charges,
                                     .from = from,
                                     .now = now};
        in.row = weir_charges_rows(x.charges, &in.n_rows);
        r = r < 0 ? r : weir_rate(&in, ret, ret_n, err);
    }
    rating_release(&x);
    return r;
}

static void again(struct api_call *call)
{
    api_price(call, call->cut, call->then);
}

/* Other prices that were posted first are no error: what is left to post is what differs from them. */
static void price_done(struct weir_command *cmd)
{
    struct api_call *call = (struct api_call *)cmd;
    if (cmd->code < 0 && cmd->code != -WEIR_ECONFLICT) {
        api_fail(call->http, cmd->code, &cmd->err);
        api_call_free(call);
        return;
    }
    call->finish = cmd->code == -WEIR_ECONFLICT ? again : call->then;
    cmd->code = 0;
    api_call_defer(call);
}

void api_price(struct api_call *call, struct weir_wall cut, void (*then)(struct api_call *call))
{
    struct weir_err err = {{0}};
    struct weir_amendment *part = NULL;
    size_t n = 0;
    uint64_t ratings = 0;
    unsigned which;
    struct weir_store *s = api_reader_take(call->api, &which);
    int r = api_rate(s, cut, weir_clock_wall(call->api->conf.clock), &ratings, &part, &n, &err);
    api_reader_put(call->api, which);
    if (r < 0) {
        api_fail(call->http, r, &err);
        return;
    }
    if (n == 0) {
        free(part);
        then(call);
        return;
    }
    struct api_call *next = api_call_follow(call, WEIR_COMMAND_PRICE);
    memcpy(next->name, call->name, sizeof next->name);
    memcpy(next->filter_user, call->filter_user, sizeof next->filter_user);
    memcpy(next->value, call->value, sizeof next->value);
    next->data = call->data;
    call->data = NULL;
    next->cut = cut;
    next->then = then;
    next->cmd.done = price_done;
    next->cmd.u.price.ratings = ratings;
    next->cmd.u.price.part = part;
    next->cmd.u.price.n = n;
    api_call_post(next);
}
