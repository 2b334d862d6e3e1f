/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proof of a ledger. Postings of a span of a node stand together, and a node's spans follow one another; so a node
 * needs only its latest span in memory, and a run on a node only its balance. Runs of one time have numbers that are
 * near to each other: their balances stand together, so that of millions only a few are touched at a time.
 */

#include "bill/check_priv.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"

/* What a run was charged on a node: corrections may not take away more. */
struct check_run {
    struct weir_run_id run;
    struct weir_node_id node;
    int64_t charged;
    uint32_t next; /* of the same place on the page, index + 1 */
};

enum {
    PAGE_BITS = 6,
    FORGET_MIN = 1 << 16, /* runs: fewer are not worth the work */
};

/* Runs whose jobs and ordinals differ in the last bits only. */
struct check_page {
    uint64_t job; /* without them */
    uint32_t ordinal;
    uint32_t first[1u << PAGE_BITS]; /* of the runs, index + 1; 0: none */
};

struct weir_bill_check {
    struct weir_bill_check_result sum;
    uint64_t last_id;
    struct weir_wall last_at;
    struct weir_map by_node; /* id -> index */
    WEIR_VEC(struct check_node) nodes;
    size_t node; /* the last one that was asked for */
    struct weir_map by_page; /* hash -> index; probed by the next hash */
    WEIR_VEC(struct check_page) pages;
    WEIR_VEC(struct check_run) runs;
    size_t kept; /* of them, when jobs were forgotten last */
    struct weir_posting amended; /* the first half of a pair; id 0: none is open */
    struct check_prices prices;
};

struct weir_bill_check *weir_bill_check_new(void)
{
    return weir_alloc(sizeof(struct weir_bill_check));
}

void weir_bill_check_free(struct weir_bill_check *c)
{
    if (c == NULL) {
        return;
    }
    weir_map_release(&c->by_node);
    weir_vec_release(&c->nodes);
    weir_map_release(&c->by_page);
    weir_vec_release(&c->pages);
    weir_vec_release(&c->runs);
    weir_vec_release(&c->prices.rented);
    free(c);
}

void weir_bill_check_prices(struct weir_bill_check *c, const struct weir_bill_prices *p)
{
    c->prices.from = p;
}

static bool is_cost(uint8_t a)
{
    return a < WEIR_ACCOUNT_NODE;
}

static bool is_use(uint8_t a)
{
    return weir_account_is_use(a);
}

static bool is_correction(const struct weir_posting *p)
{
    return p->credit == WEIR_ACCOUNT_JOB &&
           (p->debit == WEIR_ACCOUNT_WASTE_LOST || p->debit == WEIR_ACCOUNT_WASTE_FAILED);
}

/* What a correction from outside put on or took off a node, on the cost side or the use side. */
static bool is_amendment(const struct weir_posting *p)
{
    return p->correction != 0;
}

static bool has_run(const struct weir_posting *p)
{
    return p->run.task.job.v != 0;
}

/* Everything that a posting says by itself. NULL where it is sound. */
static const char *fault_of_amendment(const struct weir_posting *p)
{
    uint8_t other = p->debit == WEIR_ACCOUNT_NODE ? p->credit : p->debit;
    if ((p->debit != WEIR_ACCOUNT_NODE && p->credit != WEIR_ACCOUNT_NODE) || (!is_cost(other) && !is_use(other))) {
        return "its accounts do not belong together";
    }
    if (p->amount_micro <= 0) {
        return "its amount is not positive";
    }
    if (p->from.us <= 0 || p->from.us > p->to.us || p->to.us > p->at.us) {
        return "its span is not sound";
    }
    if (p->node.v == 0) {
        return "it names no node";
    }
    if (is_cost(other) && (other == WEIR_ACCOUNT_PROVIDER) != (p->lease.v != 0)) {
        return "its cost account does not fit its kind of node";
    }
    return (other == WEIR_ACCOUNT_JOB) && !has_run(p) ? "it names no job" : NULL;
}

/* From margin to price, or back. */
static const char *fault_of_rating(const struct weir_posting *p)
{
    bool more = p->debit == WEIR_ACCOUNT_PRICE && p->credit == WEIR_ACCOUNT_MARGIN;
    bool less = p->debit == WEIR_ACCOUNT_MARGIN && p->credit == WEIR_ACCOUNT_PRICE;
    if (!more && !less) {
        return "its accounts do not belong together";
    }
    if (p->amount_micro <= 0) {
        return "its amount is not positive";
    }
    if (p->from.us <= 0 || p->from.us > p->to.us || p->to.us > p->at.us) {
        return "its span is not sound";
    }
    return p->gpu_us != 0 || p->correction != 0 || p->energy_mj != 0 ? "it is more than a price" : NULL;
}

/* What came from the grid stands where the span was made. */
static const char *fault_of_grid(const struct weir_posting *p)
{
    bool allowed = p->correction == 0 && p->rule == 0 && !is_correction(p);
    bool carrier = !is_cost(p->credit) || p->credit == WEIR_ACCOUNT_ENERGY || p->credit == WEIR_ACCOUNT_PROVIDER;
    if (p->energy_mj < 0 || p->carbon_ug < 0 || (p->energy_mj == 0 && p->carbon_ug > 0) || (p->carbon_unknown && p->carbon_ug > 0)) {
        return "its energy or its carbon is not sound";
    }
    return p->energy_mj > 0 && (!allowed || !carrier) ? "it has energy that is not of its kind" : NULL;
}

static const char *fault_of(const struct weir_posting *p)
{
    if (p->rule != 0) {
        return fault_of_rating(p);
    }
    if (is_amendment(p)) {
        return fault_of_amendment(p);
    }
    bool cost = p->debit == WEIR_ACCOUNT_NODE && is_cost(p->credit);
    bool use = p->credit == WEIR_ACCOUNT_NODE && is_use(p->debit);
    if (!cost && !use && !is_correction(p)) {
        return "its accounts do not belong together";
    }
    if (p->amount_micro < 0 || (p->amount_micro == 0 && p->energy_mj == 0 && (p->gpu_us == 0 || !use))) {
        return "its amount is not positive";
    }
    if (p->from.us <= 0 || p->from.us > p->to.us || p->to.us > p->at.us) {
        return "its span is not sound";
    }
    if (p->node.v == 0) {
        return "it names no node";
    }
    if (cost && (p->credit == WEIR_ACCOUNT_PROVIDER) != (p->lease.v != 0)) {
        return "its cost account does not fit its kind of node";
    }
    if ((cost || p->debit == WEIR_ACCOUNT_IDLE) &&
        (has_run(p) || p->project.v != 0 || p->user.v != 0 || p->gpu_us != 0)) {
        return "it names a job though it is nobody's";
    }
    bool of_run =
        p->debit == WEIR_ACCOUNT_JOB || p->debit == WEIR_ACCOUNT_WASTE_LOST || p->debit == WEIR_ACCOUNT_WASTE_FAILED;
    if (of_run && !has_run(p)) {
        return "it names no run";
    }
    return NULL;
}

static const char *name_of(uint8_t account)
{
    return weir_account_name((enum weir_account)account);
}

static int end_span(struct weir_bill_check *c, struct check_node *n, struct weir_err *err)
{
    if (n->first_posting == 0) {
        return 0;
    }
    if (n->cost != n->use) {
        char from[WEIR_RFC3339_SIZE];
        char to[WEIR_RFC3339_SIZE];
        char cost[WEIR_MONEY_SIZE];
        char use[WEIR_MONEY_SIZE];
        return weir_fail(err, -WEIR_ECORRUPT,
                         "node %" PRIu64 ", span %s to %s (from posting %" PRIu64 "): cost side %s, use side %s",
                         n->node.v, weir_wall_format(n->from, from), weir_wall_format(n->to, to), n->first_posting,
                         weir_money_format((int64_t)n->cost, cost), weir_money_format((int64_t)n->use, use));
    }
    if (n->energy_mj != 0 || n->carbon_ug != 0) {
        char from[WEIR_RFC3339_SIZE];
        char to[WEIR_RFC3339_SIZE];
        return weir_fail(err, -WEIR_ECORRUPT,
                         "node %" PRIu64 ", span %s to %s (from posting %" PRIu64 "): the cost side has %" PRId64 " mJ and %" PRId64
                         " micrograms of CO2e more than the use side",
                         n->node.v, weir_wall_format(n->from, from), weir_wall_format(n->to, to), n->first_posting,
                         (int64_t)n->energy_mj, (int64_t)n->carbon_ug);
    }
    int r = check_price_span(&c->prices, n, err);
    if (r < 0) {
        return r;
    }
    c->sum.spans++;
    n->first_posting = 0;
    n->cost = 0;
    n->use = 0;
    return 0;
}

static struct check_node *node_of(struct weir_bill_check *c, const struct weir_posting *p)
{
    uint64_t at;
    if (c->node < c->nodes.n && c->nodes.p[c->node].node.v == p->node.v) {
        return &c->nodes.p[c->node];
    }
    if (!weir_map_get(&c->by_node, p->node.v, &at)) {
        at = c->nodes.n;
        weir_vec_push(&c->nodes, (struct check_node){.node = p->node, .lease = p->lease});
        weir_map_put(&c->by_node, p->node.v, at);
        c->sum.nodes++;
    }
    c->node = at;
    return &c->nodes.p[at];
}

static struct check_page *page_of(struct weir_bill_check *c, struct weir_task_id task)
{
    uint64_t job = task.job.v >> PAGE_BITS;
    uint32_t ordinal = task.ordinal >> PAGE_BITS;
    uint64_t hash = job ^ ordinal * UINT64_C(0x9e3779b97f4a7c15); /* maps mix */
    uint64_t at;
    while (weir_map_get(&c->by_page, hash, &at)) {
        if (c->pages.p[at].job == job && c->pages.p[at].ordinal == ordinal) {
            return &c->pages.p[at];
        }
        hash++;
    }
    weir_map_put(&c->by_page, hash, c->pages.n);
    weir_vec_push(&c->pages, (struct check_page){.job = job, .ordinal = ordinal});
    return &c->pages.p[c->pages.n - 1];
}

static uint32_t *place_of(struct weir_bill_check *c, const struct weir_run_id *run, struct weir_node_id node)
{
    struct check_page *page = page_of(c, run->task);
    uint64_t place = run->task.job.v + run->task.ordinal + run->attempt + node.v;
    return &page->first[place & ((1u << PAGE_BITS) - 1)];
}

void weir_bill_check_forget(struct weir_bill_check *c, struct weir_job_id below)
{
    if (c->runs.n < 2 * c->kept + FORGET_MIN) {
        return;
    }
    weir_map_release(&c->by_page);
    weir_vec_clear(&c->pages);
    size_t n = 0;
    for (size_t i = 0; i < c->runs.n; i++) {
        struct check_run run = c->runs.p[i];
        if (run.run.task.job.v < below.v) {
            continue;
        }
        uint32_t *first = place_of(c, &run.run, run.node);
        run.next = *first;
        c->runs.p[n++] = run;
        *first = (uint32_t)n;
    }
    c->runs.n = n;
    c->kept = n;
}

static struct check_run *run_of(struct weir_bill_check *c, const struct weir_posting *p)
{
    uint32_t *first = place_of(c, &p->run, p->node);
    for (uint32_t i = *first; i != 0; i = c->runs.p[i - 1].next) {
        if (weir_run_id_eq(c->runs.p[i - 1].run, p->run) && c->runs.p[i - 1].node.v == p->node.v) {
            return &c->runs.p[i - 1];
        }
    }
    WEIR_ASSERT(c->runs.n < UINT32_MAX - 1);
    weir_vec_push(&c->runs, (struct check_run){.run = p->run, .node = p->node, .next = *first});
    *first = (uint32_t)c->runs.n;
    return &c->runs.p[c->runs.n - 1];
}

static int add_correction(struct weir_bill_check *c, const struct weir_posting *p, struct weir_err *err)
{
    struct check_run *run = run_of(c, p);
    if (run->charged < p->amount_micro) {
        char was[WEIR_MONEY_SIZE];
        char now[WEIR_MONEY_SIZE];
        return weir_fail(err, -WEIR_ECORRUPT,
                         "posting %" PRIu64 ": moves %s of job %" PRIu64 " task %" PRIu32 " attempt %" PRIu32
                         " on node %" PRIu64 " to %s, but only %s was charged",
                         p->id, weir_money_format(p->amount_micro, now), p->run.task.job.v, p->run.task.ordinal,
                         p->run.attempt, p->node.v, name_of(p->debit), weir_money_format(run->charged, was));
    }
    run->charged -= p->amount_micro;
    c->sum.used_micro = weir_i64_sub_sat(c->sum.used_micro, p->amount_micro);
    c->sum.waste_micro = weir_i64_add_sat(c->sum.waste_micro, p->amount_micro);
    return 0;
}

static int64_t *sum_of(struct weir_bill_check *c, uint8_t account)
{
    return is_cost(account)               ? &c->sum.cost_micro
           : account == WEIR_ACCOUNT_JOB  ? &c->sum.used_micro
           : account == WEIR_ACCOUNT_IDLE ? &c->sum.idle_micro
                                          : &c->sum.waste_micro;
}

static int add_to_span(struct weir_bill_check *c, const struct weir_posting *p, struct weir_err *err)
{
    struct check_node *n = node_of(c, p);
    if (n->lease.v != p->lease.v) {
        return weir_fail(err, -WEIR_ECORRUPT,
                         "posting %" PRIu64 ": node %" PRIu64 " has lease %" PRIu64 ", had %" PRIu64, p->id, p->node.v,
                         p->lease.v, n->lease.v);
    }
    if (n->from.us != p->from.us || n->to.us != p->to.us) {
        int r = end_span(c, n, err);
        if (r < 0) {
            return r;
        }
        if (p->from.us < n->to.us) {
            char from[WEIR_RFC3339_SIZE];
            char to[WEIR_RFC3339_SIZE];
            return weir_fail(err, -WEIR_ECORRUPT,
                             "posting %" PRIu64 ": its span on node %" PRIu64
                             " begins at %s, before %s, where the last one ended",
                             p->id, p->node.v, weir_wall_format(p->from, from), weir_wall_format(n->to, to));
        }
        n->from = p->from;
        n->to = p->to;
    }
    if (p->lease.v != 0) {
        int r = check_price_begin(&c->prices, n, p, err);
        if (r < 0) {
            return r;
        }
    }
    if (n->first_posting == 0) {
        n->first_posting = p->id;
    }
    bool cost = p->debit == WEIR_ACCOUNT_NODE;
    if (cost) {
        check_price_add(&c->prices, n, p);
    }
    *(cost ? &n->cost : &n->use) += p->amount_micro;
    n->energy_mj += cost ? p->energy_mj : -p->energy_mj;
    n->carbon_ug += cost ? p->carbon_ug : -p->carbon_ug;
    c->sum.energy_mj = weir_i64_add_sat(c->sum.energy_mj, cost ? 0 : p->energy_mj);
    c->sum.carbon_ug = weir_i64_add_sat(c->sum.carbon_ug, cost ? 0 : p->carbon_ug);
    c->sum.carbon_has_unknown = c->sum.carbon_has_unknown || (!cost && p->carbon_unknown);
    int64_t *sum = sum_of(c, cost ? p->credit : p->debit);
    *sum = weir_i64_add_sat(*sum, p->amount_micro);
    if (p->debit == WEIR_ACCOUNT_JOB) {
        struct check_run *run = run_of(c, p);
        run->charged = weir_i64_add_sat(run->charged, p->amount_micro);
    }
    return 0;
}

/* Pairs: the cost side, then the use side of the same amount on the same node. */
static int add_amendment(struct weir_bill_check *c, const struct weir_posting *p, struct weir_err *err)
{
    bool onto = p->debit == WEIR_ACCOUNT_NODE;
    uint8_t other = onto ? p->credit : p->debit;
    const struct weir_posting *first = &c->amended;
    if (first->id == 0 && is_cost(other)) {
        c->amended = *p;
        *sum_of(c, other) += onto ? p->amount_micro : -p->amount_micro;
        return 0;
    }
    if (first->id == 0 || is_cost(other) || first->correction != p->correction || first->node.v != p->node.v ||
        first->amount_micro != p->amount_micro || onto == (first->debit == WEIR_ACCOUNT_NODE)) {
        return weir_fail(err, -WEIR_ECORRUPT,
                         "posting %" PRIu64 " of correction %" PRIu64 " on node %" PRIu64
                         ": its other side is missing or differs",
                         p->id, p->correction, p->node.v);
    }
    *sum_of(c, other) += onto ? -p->amount_micro : p->amount_micro;
    c->amended.id = 0;
    return 0;
}

int weir_bill_check_add(struct weir_bill_check *c, const struct weir_posting *p, struct weir_err *err)
{
    if (p->id != c->last_id + 1) {
        return weir_fail(err, -WEIR_ECORRUPT, "posting %" PRIu64 " is missing: %" PRIu64 " comes after %" PRIu64,
                         c->last_id + 1, p->id, c->last_id);
    }
    const char *fault = fault_of(p);
    fault = fault == NULL ? fault_of_grid(p) : fault;
    if (fault == NULL && p->at.us < c->last_at.us) {
        fault = "it was made before the one that it follows";
    }
    if (fault != NULL) {
        char amount[WEIR_MONEY_SIZE];
        return weir_fail(err, -WEIR_ECORRUPT, "posting %" PRIu64 " (node %" PRIu64 ", %s from %s to %s): %s", p->id,
                         p->node.v, weir_money_format(p->amount_micro, amount), name_of(p->credit), name_of(p->debit),
                         fault);
    }
    c->last_id = p->id;
    c->last_at = p->at;
    c->sum.postings++;
    if (p->rule != 0) {
        bool more = p->debit == WEIR_ACCOUNT_PRICE;
        c->sum.price_micro = more ? weir_i64_add_sat(c->sum.price_micro, p->amount_micro) : weir_i64_sub_sat(c->sum.price_micro, p->amount_micro);
        return 0;
    }
    if (is_amendment(p)) {
        return add_amendment(c, p, err);
    }
    return is_correction(p) ? add_correction(c, p, err) : add_to_span(c, p, err);
}

int weir_bill_check_end(struct weir_bill_check *c, struct weir_bill_check_result *ret, struct weir_err *err)
{
    for (size_t i = 0; i < c->nodes.n; i++) {
        int r = end_span(c, &c->nodes.p[i], err);
        if (r < 0) {
            return r;
        }
    }
    if (c->amended.id != 0) {
        return weir_fail(err, -WEIR_ECORRUPT,
                         "posting %" PRIu64 " of correction %" PRIu64 ": its other side is missing", c->amended.id,
                         c->amended.correction);
    }
    int r = check_price_end(&c->prices, &c->sum, err);
    if (r < 0) {
        return r;
    }
    *ret = c->sum;
    return 0;
}
