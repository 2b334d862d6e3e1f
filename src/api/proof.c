/* SPDX-License-Identifier: Apache-2.0 */

#include "api/proof.h"

#include <inttypes.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "base/mem.h"
#include "base/parse.h"

struct weir_proof {
    struct weir_bill_check *check;
    struct weir_bill_prices prices;
    struct weir_store *store; /* of the step under way */
    struct api_close_proof *closes;
    struct weir_err offence;
    uint64_t made;  /* how many postings there must be at least; 0: not known */
    uint64_t known; /* how many there were when the step began */
    uint64_t last; /* that was read */
    uint64_t page; /* the last posting of the page that was proven last */
    uint32_t n;    /* read in this step */
    uint32_t max;
    bool is_read; /* the ledger, to its end */
    struct weir_bill_check_result sum;
};

static bool is_bad(const struct weir_proof *p)
{
    return p->offence.text[0] != '\0';
}

/* ---- what rented machines are charged by ---- */

static int on_lease(void *ctx, const struct weir_lease_row *row)
{
    const struct weir_lease_view *v = &row->view;
    const struct weir_offer *o = &v->offer;
    bool is_over = v->state == WEIR_LEASE_ENDED || v->state == WEIR_LEASE_FAILED;
    struct weir_bill_terms *t = ctx;
    *t = (struct weir_bill_terms){.opened = v->confirmed_at,
                                  .ended = is_over ? v->ended_at : (struct weir_wall){0},
                                  .quote_micro_per_hour = o->price_micro_per_hour,
                                  .price_micro_per_hour = v->price_micro_per_hour,
                                  .quantum = o->bill_quantum,
                                  .minimum = o->bill_minimum,
                                  .rate_nano = o->rate_nano};
    memcpy(t->currency, o->currency, sizeof t->currency);
    return 0;
}

/* Read together with the postings of the step: what comes later than these may be told later. */
static int terms_of(void *ctx, struct weir_lease_id lease, struct weir_bill_terms *ret, struct weir_err *err)
{
    struct weir_proof *p = ctx;
    int r = p->store->ops->get_lease(p->store, lease, on_lease, ret, err);
    ret->known_until = p->known;
    return r;
}

struct next_price {
    struct weir_lease_id lease;
    struct weir_bill_price *ret;
};

static int on_price(void *ctx, const struct weir_lease_price_row *row)
{
    const struct next_price *n = ctx;
    if (row->lease.v == n->lease.v) {
        *n->ret = row->price;
    }
    return 1;
}

static int next_price(void *ctx, struct weir_lease_id lease, uint64_t number, struct weir_bill_price *ret, struct weir_err *err)
{
    const struct weir_proof *p = ctx;
    struct next_price n = {lease, ret};
    *ret = (struct weir_bill_price){0};
    int r = p->store->ops->each_lease_price(p->store, lease, number, on_price, &n, err);
    return r < 0 ? r : 0;
}

/* How many postings were made, as far as the store says. */
static int read_made(struct weir_store *s, uint64_t *ret, struct weir_err *err)
{
    char text[64] = "";
    int r = s->ops->get_meta(s, WEIR_META_LAST_POSTING, text, sizeof text, err);
    *ret = 0;
    if (r == 0) {
        (void)weir_parse_u64(weir_sv_of(text), 1, INT64_MAX, ret, NULL);
    }
    return r == -WEIR_ENOTFOUND ? 0 : r;
}

int weir_proof_new(struct weir_proof **ret, struct weir_store *s, struct weir_err *err)
{
    struct weir_proof *p = weir_alloc(sizeof *p);
    p->check = weir_bill_check_new();
    p->prices = (struct weir_bill_prices){.ctx = p, .terms = terms_of, .next = next_price};
    weir_bill_check_prices(p->check, &p->prices);
    int r = api_close_proof_new(&p->closes, s, err);
    r = r < 0 ? r : read_made(s, &p->made, err);
    if (r < 0) {
        weir_proof_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

void weir_proof_free(struct weir_proof *p)
{
    if (p != NULL) {
        weir_bill_check_free(p->check);
        api_close_proof_free(p->closes);
        free(p);
    }
}

static int on_posting(void *ctx, const struct weir_posting *row)
{
    struct weir_proof *p = ctx;
    int r = weir_bill_check_add(p->check, row, &p->offence);
    if (r < 0) {
        return r;
    }
    api_close_proof_add(p->closes, row);
    p->last = row->id;
    return ++p->n == p->max ? 1 : 0;
}

/* The ledger's next postings. */
static int read_on(struct weir_proof *p, struct weir_store *s, uint32_t postings_max, struct weir_err *err)
{
    p->n = 0;
    p->max = postings_max;
    p->store = s;
    int r = read_made(s, &p->known, err);
    r = r < 0 ? r : s->ops->each_posting(s, p->last, on_posting, p, err);
    if (r < 0 && !is_bad(p)) {
        return r;
    }
    if (is_bad(p) && r != -WEIR_ECORRUPT) { /* not an offence: where it is written what machines cost could not be read */
        r = weir_fail(err, r, "%s", p->offence.text);
        p->offence.text[0] = '\0';
        return r;
    }
    if (!is_bad(p) && p->n == p->max) {
        return 1;
    }
    p->is_read = true;
    struct weir_err first = p->offence;
    r = weir_bill_check_end(p->check, &p->sum, is_bad(p) ? NULL : &first);
    if (!is_bad(p) && r < 0 && r != -WEIR_ECORRUPT) {
        return weir_fail(err, r, "%s", first.text);
    }
    p->offence = first;
    if (!is_bad(p) && p->last < p->made) {
        (void)weir_fail(&p->offence, -WEIR_ECORRUPT, "posting %" PRIu64 " is missing: the ledger ends before it, %" PRIu64 " were made", p->last + 1,
                        p->made);
    }
    return is_bad(p) ? 0 : 1;
}

int weir_proof_step(struct weir_proof *p, struct weir_store *s, uint32_t postings_max, struct weir_err *err)
{
    if (is_bad(p)) {
        return 0;
    }
    if (!p->is_read) {
        return read_on(p, s, postings_max, err);
    }
    uint64_t last = 0;
    struct weir_err why = {{0}};
    int r = s->ops->prove_pages(s, p->page, &last, &why);
    if (r == -WEIR_ECORRUPT) {
        p->offence = why;
        return 0;
    }
    if (r < 0) {
        return weir_fail(err, r, "%s", why.text);
    }
    p->page = last;
    return last != 0 ? 1 : 0;
}

void weir_proof_end(struct weir_proof *p, struct weir_proof_result *ret)
{
    *ret = (struct weir_proof_result){.sum = p->sum, .error = p->offence};
    ret->closes = api_close_proof_end(p->closes, &ret->close_error);
}
