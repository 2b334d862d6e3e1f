/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The use side: who held how much of a node in a span, and the postings of both sides.
 *
 * Shares are kept as weights: parts of the node's capacity x microseconds, exact integers. A span may hold
 * many changes (segments that open and close); its cost is split once, by the weights collected in it. While all
 * parts together are no more than the node, a segment's weight grows evenly, and is worked out when somebody asks.
 */

#include "bill/bill_priv.h"

static struct bill_segment *segment_at(struct weir_bill *b, uint32_t link)
{
    return &b->segments.p[link - 1];
}

static bool is_active(const struct bill_segment *s, struct weir_wall now)
{
    return !s->closed && s->from.us <= now.us;
}

static void hold(const struct bill_node *n, struct bill_segment *s, weir_i128 weight, int64_t dt)
{
    s->weight += weight;
    s->energy_weight += weight * n->m.info.cost.busy_watts;
    s->gpu_us += (uint64_t)s->info.gpus * (uint64_t)dt;
}

/* Brings an active segment's weights up to now. */
static void catch_up(const struct bill_node *n, struct bill_segment *s)
{
    int64_t dt = n->now.us - s->held.us;
    if (!weir_bill_is_booting(n)) {
        hold(n, s, (weir_i128)s->part * dt, dt);
    }
    s->held = n->now;
}

static void catch_up_all(struct weir_bill *b, const struct bill_node *n)
{
    for (uint32_t i = n->first; i != 0; i = segment_at(b, i)->next) {
        if (is_active(segment_at(b, i), n->now)) {
            catch_up(n, segment_at(b, i));
        }
    }
}

/* A stretch in which nobody's share changes, and the parts together are more than the node: they are scaled down. */
static void scale_down(struct weir_bill *b, struct bill_node *n, int64_t dt)
{
    weir_i128 all = (weir_i128)n->whole * dt;
    weir_i128 seen = 0;
    weir_i128 given = 0;
    catch_up_all(b, n);
    for (uint32_t i = n->first; i != 0; i = segment_at(b, i)->next) {
        struct bill_segment *s = segment_at(b, i);
        if (!is_active(s, n->now)) {
            continue;
        }
        /* by cumulative shares, which add up to the whole */
        seen += s->part;
        weir_i128 upto = all * seen / n->taken;
        hold(n, s, upto - given, dt);
        s->held.us += dt;
        given = upto;
    }
}

/* A stretch in which nobody's share changes. */
static void account(struct weir_bill *b, struct bill_node *n, int64_t dt)
{
    if (n->taken > n->whole) {
        scale_down(b, n, dt);
        return;
    }
    weir_i128 idle = (weir_i128)(n->whole - n->taken) * dt;
    n->idle_weight += idle;
    n->idle_energy_weight += idle * n->m.info.cost.idle_watts;
}

void weir_bill_segment_begin(struct weir_bill *b, struct bill_node *n, uint32_t index)
{
    struct bill_segment *s = &b->segments.p[index];
    if (s->from.us <= n->now.us) {
        s->held = n->now;
        n->taken += s->part;
        return;
    }
    uint32_t *link = &n->due;
    while (*link != 0 && segment_at(b, *link)->from.us <= s->from.us) {
        link = &segment_at(b, *link)->next_due;
    }
    s->next_due = *link;
    *link = index + 1;
}

void weir_bill_segment_stop(struct bill_node *n, struct bill_segment *s)
{
    if (is_active(s, n->now)) {
        catch_up(n, s);
        n->taken -= s->part;
    }
}

void weir_bill_advance(struct weir_bill *b, struct bill_node *n, struct weir_wall t)
{
    while (n->now.us < t.us) {
        int64_t next = t.us;
        if (n->due != 0 && segment_at(b, n->due)->from.us < next) {
            next = segment_at(b, n->due)->from.us;
        }
        if (!weir_bill_is_booting(n)) {
            account(b, n, next - n->now.us);
        } else { /* it draws power before anybody can use it */
            n->idle_energy_weight += (weir_i128)n->whole * (next - n->now.us) * n->m.info.cost.idle_watts;
        }
        n->now.us = next;
        while (n->due != 0 && segment_at(b, n->due)->from.us <= next) {
            struct bill_segment *s = segment_at(b, n->due);
            n->due = s->next_due;
            s->held = n->now;
            n->taken += s->part;
        }
    }
}

static struct weir_posting *add_posting(struct weir_bill *b, const struct bill_node *n, struct weir_wall at)
{
    if (at.us < n->now.us) {
        at = n->now;
    }
    if (at.us < b->last_at.us) {
        at = b->last_at;
    }
    b->last_at = at;
    weir_vec_push(&b->postings, (struct weir_posting){.id = b->next_posting++,
                                                      .at = at,
                                                      .from = n->m.until,
                                                      .to = n->now,
                                                      .node = n->m.info.node,
                                                      .lease = n->m.info.lease,
                                                      .payer = n->m.info.payer,
                                                      .pool = n->m.info.pool});
    return &b->postings.p[b->postings.n - 1];
}

static void keep_original(const struct bill_node *n, struct weir_posting *p, int64_t original)
{
    memcpy(p->currency, n->m.info.currency, sizeof p->currency);
    p->original_micro = original;
}

static void add_cost(struct weir_bill *b, const struct bill_node *n, struct weir_wall at, enum weir_account account,
                     const struct bill_cost *c)
{
    /* one posting of the span bears what came from the grid */
    bool has_grid = account == (n->m.info.owned ? WEIR_ACCOUNT_ENERGY : WEIR_ACCOUNT_PROVIDER);
    int64_t energy_mj = has_grid ? c->energy_mj : 0;
    if (c->micro[account] <= 0 && energy_mj == 0) {
        return;
    }
    struct weir_posting *p = add_posting(b, n, at);
    p->debit = WEIR_ACCOUNT_NODE;
    p->credit = (uint8_t)account;
    p->amount_micro = c->micro[account];
    p->modelled = has_grid && energy_mj > 0 && c->energy_modelled;
    p->energy_mj = energy_mj;
    p->carbon_ug = has_grid ? c->carbon_ug : 0;
    keep_original(n, p, account == WEIR_ACCOUNT_PROVIDER ? c->original_micro : 0);
}

/* Boot waste bears the name of the task that the machine was rented for. */
static void name_tenant(const struct bill_node *n, struct weir_posting *p)
{
    p->project = n->m.info.project;
    p->user = n->m.info.user;
    p->run.task = n->m.info.task;
}

static void name_run(const struct bill_segment *s, struct weir_posting *p)
{
    p->project = s->info.project;
    p->user = s->info.user;
    p->payer = s->info.payer;
    p->run = s->info.run;
}

/* Without cost there is still GPU time to tell of, and energy. */
static bool is_told(const struct bill_part *part, int64_t micro, int64_t energy_mj)
{
    return micro > 0 || part->gpu_us > 0 || energy_mj > 0;
}

/* What a part gets of a span. */
struct share {
    int64_t micro;
    int64_t original;
    int64_t energy_mj;
    int64_t carbon_ug;
    bool carbon_unknown;
};

static void add_use(struct weir_bill *b, const struct bill_node *n, struct weir_wall at, const struct bill_part *part, const struct share *s)
{
    if (!is_told(part, s->micro, s->energy_mj)) {
        return;
    }
    struct weir_posting *p = add_posting(b, n, at);
    p->debit = part->account;
    p->credit = WEIR_ACCOUNT_NODE;
    p->amount_micro = s->micro;
    p->gpu_us = part->gpu_us;
    p->energy_mj = s->energy_mj;
    p->carbon_ug = s->carbon_ug;
    p->carbon_unknown = s->carbon_unknown;
    keep_original(n, p, s->original);
    if (part->segment != UINT32_MAX) {
        name_run(&b->segments.p[part->segment], p);
    } else if (part->account == WEIR_ACCOUNT_WASTE_BOOT) {
        name_tenant(n, p);
    }
}

/* ---- what a closed segment's cost turns into ---- */

/* Of the weight since the last posting: how much lies before kept_until. */
static weir_i128 kept_part(const struct bill_node *n, const struct bill_segment *s, weir_i128 amount)
{
    int64_t from = s->from.us > n->m.until.us ? s->from.us : n->m.until.us;
    int64_t to = s->closed_at.us;
    int64_t kept = s->kept_until.us;
    if (kept <= from) {
        return 0;
    }
    return kept >= to ? amount : amount / (to - from) * (kept - from) + amount % (to - from) * (kept - from) / (to - from);
}

/* Of what was posted: how much is for time before kept_until. Exact at checkpoints, where spans end; by
 * time in between. */
static int64_t kept_posted(const struct bill_node *n, const struct bill_segment *s)
{
    const struct weir_bill_segment *i = &s->info;
    int64_t kept = s->kept_until.us;
    int64_t known = i->checkpointed.us;
    if (kept <= i->from.us) {
        return 0;
    }
    if (kept >= n->m.until.us) {
        return i->posted_micro;
    }
    if (known <= i->from.us) {
        return weir_mul_div_sat(i->posted_micro, kept - i->from.us, n->m.until.us - i->from.us);
    }
    if (kept == known) {
        return i->posted_kept_micro;
    }
    if (kept < known) {
        return weir_mul_div_sat(i->posted_kept_micro, kept - i->from.us, known - i->from.us);
    }
    return i->posted_kept_micro +
           weir_mul_div_sat(i->posted_micro - i->posted_kept_micro, kept - known, n->m.until.us - known);
}

static void push_part(struct weir_bill *b, struct bill_part part)
{
    if (part.weight > 0 || part.gpu_us > 0) {
        weir_vec_push(&b->parts, part);
    }
}

static void collect_segment(struct weir_bill *b, const struct bill_node *n, uint32_t index)
{
    const struct bill_segment *s = &b->segments.p[index];
    struct bill_part part = {.segment = index,
                             .account = WEIR_ACCOUNT_JOB,
                             .weight = s->weight,
                             .energy_weight = s->energy_weight,
                             .gpu_us = s->gpu_us};
    if (s->closed && s->outcome == WEIR_OUTCOME_FAILED) {
        part.account = WEIR_ACCOUNT_WASTE_FAILED;
    }
    if (s->closed && s->outcome == WEIR_OUTCOME_LOST) {
        struct bill_part kept = part;
        kept.weight = kept_part(n, s, part.weight);
        kept.energy_weight = kept_part(n, s, part.energy_weight);
        kept.gpu_us = (uint64_t)kept_part(n, s, (weir_i128)part.gpu_us);
        push_part(b, kept);
        part.account = WEIR_ACCOUNT_WASTE_LOST;
        part.weight -= kept.weight;
        part.energy_weight -= kept.energy_weight;
        part.gpu_us -= kept.gpu_us;
    }
    push_part(b, part);
}

/* Everything that gets a part of the span's cost; what has no other home goes to the last. */
static void collect(struct weir_bill *b, const struct bill_node *n)
{
    weir_vec_clear(&b->parts);
    if (weir_bill_is_booting(n)) {
        weir_vec_push(&b->parts, (struct bill_part){.segment = UINT32_MAX,
                                                    .account = WEIR_ACCOUNT_WASTE_BOOT,
                                                    .energy_weight = n->idle_energy_weight});
        return;
    }
    for (uint32_t i = n->first; i != 0; i = segment_at(b, i)->next) {
        collect_segment(b, n, i - 1);
    }
    weir_vec_push(&b->parts, (struct bill_part){.segment = UINT32_MAX,
                                                .account = WEIR_ACCOUNT_IDLE,
                                                .weight = n->idle_weight,
                                                .energy_weight = n->idle_energy_weight});
}

/* Fills b->amounts, b->energy and b->carbon with each part's share. */
static void share_out(struct weir_bill *b, const struct bill_cost *c)
{
    size_t n = b->parts.n;
    weir_vec_reserve(&b->weights, n);
    weir_vec_reserve(&b->amounts, 2 * n);
    weir_vec_reserve(&b->energy, n);
    weir_vec_reserve(&b->carbon, n);
    weir_i128 energy_sum = 0;
    for (size_t i = 0; i < n; i++) {
        b->weights.p[i] = b->parts.p[i].weight;
        energy_sum += b->parts.p[i].energy_weight;
    }
    int64_t fixed = c->micro[WEIR_ACCOUNT_PROVIDER] + c->micro[WEIR_ACCOUNT_DEPRECIATION] + c->micro[WEIR_ACCOUNT_UPKEEP];
    weir_bill_split(fixed, b->weights.p, n, b->amounts.p);
    /* watts draw by what ran; where no watts are known, like the rest */
    for (size_t i = 0; i < n && energy_sum > 0; i++) {
        b->weights.p[i] = b->parts.p[i].energy_weight;
    }
    weir_bill_split(c->micro[WEIR_ACCOUNT_ENERGY], b->weights.p, n, b->amounts.p + n);
    weir_bill_split(c->energy_mj, b->weights.p, n, b->energy.p);
    /* by what each got: no part has more carbon than energy, and none has carbon alone */
    for (size_t i = 0; i < n && c->energy_mj > 0; i++) {
        b->weights.p[i] = b->energy.p[i];
    }
    weir_bill_split(c->carbon_ug, b->weights.p, n, b->carbon.p);
    for (size_t i = 0; i < n; i++) {
        b->amounts.p[i] += b->amounts.p[n + i];
    }
    weir_vec_reserve(&b->originals, n);
    for (size_t i = 0; i < n; i++) {
        b->originals.p[i] = 0;
        b->weights.p[i] = b->amounts.p[i];
    }
    if (c->original_micro > 0) {
        weir_bill_split(c->original_micro, b->weights.p, n, b->originals.p);
    }
}

void weir_bill_correct(struct weir_bill *b, const struct bill_node *n, const struct bill_segment *s, struct weir_wall at)
{
    if (!s->closed || s->outcome == WEIR_OUTCOME_USED || s->outcome == WEIR_OUTCOME_PENDING) {
        return;
    }
    bool lost = s->outcome == WEIR_OUTCOME_LOST;
    int64_t kept = lost ? kept_posted(n, s) : 0;
    int64_t micro = s->info.posted_micro - kept;
    if (micro <= 0) {
        return;
    }
    struct weir_posting *p = add_posting(b, n, at);
    struct weir_wall from = s->info.from;
    if (lost && s->kept_until.us > from.us) {
        from = s->kept_until;
    }
    p->to = n->m.until;
    p->from = from.us < p->to.us ? from : p->to;
    p->debit = lost ? WEIR_ACCOUNT_WASTE_LOST : WEIR_ACCOUNT_WASTE_FAILED;
    p->credit = WEIR_ACCOUNT_JOB;
    p->amount_micro = micro;
    keep_original(n, p, weir_bill_original(&n->m.info, micro));
    name_run(s, p);
}

/* After the postings: sums on the segments that go on, an end of those that are closed. */
static void settle_segments(struct weir_bill *b, struct bill_node *n, struct weir_wall at)
{
    for (size_t i = 0; i < b->parts.n; i++) {
        const struct bill_part *part = &b->parts.p[i];
        if (part->segment == UINT32_MAX) {
            continue;
        }
        struct bill_segment *s = &b->segments.p[part->segment];
        if (!s->closed || s->outcome == WEIR_OUTCOME_PENDING) {
            s->info.posted_micro += b->amounts.p[i];
            s->info.posted_until = is_told(part, b->amounts.p[i], b->energy.p[i]) ? n->now : s->info.posted_until;
        }
    }
    uint32_t next;
    for (uint32_t i = n->first; i != 0; i = next) {
        struct bill_segment *s = segment_at(b, i);
        next = s->next;
        s->weight = 0;
        s->energy_weight = 0;
        s->gpu_us = 0;
        if (s->closed) {
            weir_bill_correct(b, n, s, at);
            if (s->outcome == WEIR_OUTCOME_PENDING) {
                struct weir_bill_pending p = {.segment = s->info, .lease = n->m.info.lease, .pool = n->m.info.pool, .rate_nano = n->m.info.rate_nano};
                memcpy(p.currency, n->m.info.currency, sizeof p.currency);
                weir_vec_push(&b->pending, p);
            }
            weir_bill_segment_drop(b, n, i - 1);
        }
    }
}

/* Fills b->parts, and beside it b->amounts, b->energy and b->carbon, with who gets what of the span up to n->now. */
static struct bill_cost divide(struct weir_bill *b, struct bill_node *n)
{
    catch_up_all(b, n);
    collect(b, n);
    weir_i128 energy_weight = 0;
    for (size_t i = 0; i < b->parts.n; i++) {
        energy_weight += b->parts.p[i].energy_weight;
    }
    struct bill_cost c = weir_bill_cost_take(n, n->now, energy_weight);
    share_out(b, &c);
    return c;
}

void weir_bill_accrued(const struct weir_bill *b, struct weir_wall now, weir_bill_accrued_fn *fn, void *ctx)
{
    /* A ledger of one node at a time, copied, takes what the division changes. */
    struct weir_bill copy = {0};
    for (size_t i = 0; i < b->nodes.n; i++) {
        struct bill_node n = *b->nodes.p[i];
        weir_vec_clear(&copy.segments);
        for (uint32_t k = n.first; k != 0; k = b->segments.p[k - 1].next) {
            weir_vec_push(&copy.segments, b->segments.p[k - 1]);
            copy.segments.p[copy.segments.n - 1].next = (uint32_t)copy.segments.n + 1;
        }
        if (copy.segments.n == 0 || weir_bill_is_booting(&n)) {
            continue;
        }
        copy.segments.p[copy.segments.n - 1].next = 0;
        n.first = 1;
        n.due = 0;
        for (uint32_t k = 0; k < copy.segments.n; k++) {
            if (!copy.segments.p[k].closed && copy.segments.p[k].from.us > n.now.us) {
                weir_bill_segment_begin(&copy, &n, k);
            }
        }
        weir_bill_advance(&copy, &n, weir_bill_clamp(&n, now));
        (void)divide(&copy, &n);
        for (size_t p = 0; p < copy.parts.n; p++) {
            if (copy.parts.p[p].account == WEIR_ACCOUNT_JOB && copy.amounts.p[p] > 0) {
                fn(ctx, copy.segments.p[copy.parts.p[p].segment].info.run, copy.amounts.p[p]);
            }
        }
    }
    weir_vec_release(&copy.segments);
    weir_vec_release(&copy.parts);
    weir_vec_release(&copy.weights);
    weir_vec_release(&copy.amounts);
    weir_vec_release(&copy.energy);
    weir_vec_release(&copy.carbon);
    weir_vec_release(&copy.originals);
}

void weir_bill_post(struct weir_bill *b, struct bill_node *n, struct weir_wall at)
{
    struct bill_cost c = divide(b, n);
    for (int i = 0; i < WEIR_ACCOUNT_NODE; i++) {
        add_cost(b, n, at, (enum weir_account)i, &c);
    }
    for (size_t i = 0; i < b->parts.n; i++) {
        const struct share s = {b->amounts.p[i], b->originals.p[i], b->energy.p[i], b->carbon.p[i], c.carbon_unknown};
        add_use(b, n, at, &b->parts.p[i], &s);
    }
    settle_segments(b, n, at);
    n->idle_weight = 0;
    n->idle_energy_weight = 0;
    n->m.until = n->now;
    n->dirty = false;
    weir_bill_mark_changed(b, n);
}

void weir_bill_post_rounding(struct weir_bill *b, struct bill_node *n, struct weir_wall at)
{
    struct bill_cost c = weir_bill_rounding_take(n, n->now);
    const struct share s = {.micro = c.micro[WEIR_ACCOUNT_PROVIDER], .original = c.original_micro};
    struct bill_part part = {.segment = UINT32_MAX,
                             .account = weir_bill_is_booting(n) ? WEIR_ACCOUNT_WASTE_BOOT : WEIR_ACCOUNT_IDLE};
    add_cost(b, n, at, WEIR_ACCOUNT_PROVIDER, &c);
    add_use(b, n, at, &part, &s);
}
