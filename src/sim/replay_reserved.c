/* SPDX-License-Identifier: Apache-2.0 */

/* Reserved machines of a replay's clouds: so many of a listed type at a price that is paid whether they are used or not. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cloud/input.h"
#include "replay.h"

enum { PROVIDER, TYPE, REGION, COUNT, PRICE, TERM };

static const struct weir_input_column columns[] = {{.name = "provider"}, {.name = "instance_type"}, {.name = "region", .optional = true},
                                                 {.name = "count"},    {.name = "price"},         {.name = "term_hours", .optional = true}};

enum { COUNT_MAX = 1000000, PRICE_MAX = 1000000, TERM_HOURS_MAX = 10 * 8784 };

/* The machine of that type as the cloud lists it, on demand where it does; NULL: it lists none. */
static const struct weir_offer *listed(const struct weir_sim_provider *p, struct weir_sv type, struct weir_sv region)
{
    const struct weir_offer *found = NULL;
    for (size_t i = 0; i < p->n; i++) {
        const struct weir_offer *o = &p->offer[i];
        bool is = weir_sv_eq(type, weir_sv_of(o->instance_type)) && (region.n == 0 || weir_sv_eq(region, weir_sv_of(o->region)));
        if (is && o->market != WEIR_OFFER_RESERVED && (found == NULL || (found->market != o->market && o->market == WEIR_OFFER_ON_DEMAND))) {
            found = o;
        }
    }
    return found;
}

/* Appends to what provider k offers. */
static int add(struct weir_replay_site *site, size_t k, const struct weir_offer *o, struct weir_dur term, struct weir_err *err)
{
    struct weir_sim_provider *p = &site->provider[k];
    for (size_t i = 0; i < p->n; i++) {
        if (p->offer[i].id == o->id) {
            return weir_fail(err, -WEIR_EEXISTS, "machines of type %s in %s stand there twice", o->instance_type, o->region[0] == '\0' ? "that cloud" : o->region);
        }
    }
    site->offer[k] = weir_realloc(site->offer[k], p->n + 1, sizeof *site->offer[k]);
    site->offer[k][p->n] = *o;
    const struct weir_sim_steps ***recorded[] = {&site->offer_price[k], &site->offer_stock[k]};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(recorded); i++) {
        if (*recorded[i] != NULL) {
            *recorded[i] = weir_realloc(*recorded[i], p->n + 1, sizeof **recorded[i]);
            (*recorded[i])[p->n] = NULL;
        }
    }
    bool first = site->term[k] == NULL;
    site->term[k] = weir_realloc(site->term[k], p->n + 1, sizeof *site->term[k]);
    if (first) {
        memset(site->term[k], 0, p->n * sizeof *site->term[k]);
    }
    site->term[k][p->n++] = term;
    p->offer = site->offer[k];
    p->price = site->offer_price[k];
    p->stock = site->offer_stock[k];
    p->term = site->term[k];
    return 0;
}

static int find_provider(const struct weir_replay_site *site, const struct weir_input *in, size_t *ret, struct weir_err *err)
{
    struct weir_sv name = weir_input_field(in, PROVIDER);
    for (*ret = 0; *ret < site->n_providers; ++*ret) {
        if (weir_sv_eq(name, weir_sv_of(site->provider[*ret].name))) {
            return 0;
        }
    }
    weir_fail(err, -WEIR_ENOTFOUND, "there is no cloud '%.*s': --catalogue NAME=FILE names them, that of --cloud-price is 'cloud'", WEIR_SV_ARG(name));
    return weir_input_fail_field(in, PROVIDER, -WEIR_ENOTFOUND, err);
}

static int read_line(struct weir_replay_site *site, const struct weir_input *in, struct weir_err *err)
{
    int64_t count = 0;
    int64_t price = 0;
    struct weir_dur term = {0};
    size_t k = 0;
    int r = find_provider(site, in, &k, err);
    r = r < 0 ? r : weir_input_i64(in, COUNT, 0, COUNT_MAX, &count, err);
    r = r < 0 ? r : weir_input_units(in, PRICE, PRICE_MAX, WEIR_MICRO_PER_UNIT, &price, err);
    if (r == 0 && weir_input_field(in, TERM).n > 0) {
        r = weir_input_units(in, TERM, TERM_HOURS_MAX, WEIR_US_PER_HOUR, &term.us, err);
    }
    if (r == 0 && price == 0) {
        weir_fail(err, -WEIR_EINVAL, "a price per hour is expected, of a machine, whether it is used or not");
        r = weir_input_fail_field(in, PRICE, -WEIR_EINVAL, err);
    }
    if (r < 0) {
        return r;
    }
    struct weir_sv type = weir_input_field(in, TYPE);
    const struct weir_offer *like = listed(&site->provider[k], type, weir_input_field(in, REGION));
    if (like == NULL) {
        weir_fail(err, -WEIR_ENOTFOUND, "%s lists no machine '%.*s' there", site->provider[k].name, WEIR_SV_ARG(type));
        return weir_input_fail_field(in, TYPE, -WEIR_ENOTFOUND, err);
    }
    double set = site->param[WEIR_REPLAY_RESERVED_COUNT];
    struct weir_offer o = *like;
    o.market = WEIR_OFFER_RESERVED;
    o.machines_max = (uint32_t)(set >= 0 ? llround(set) : count);
    o.price_micro_per_hour = (int64_t)fmax(1, round((double)price * site->param[WEIR_REPLAY_PRICE_FACTOR]));
    o.reclaim_ppm_per_hour = 0;
    o.reclaim_notice.us = 0;
    memset(o.zone, 0, sizeof o.zone);
    o.id = weir_offer_id(&o);
    r = o.machines_max == 0 ? 0 : add(site, k, &o, term, err);
    return r < 0 ? weir_input_fail(in, r, err) : 0;
}

int weir_replay_reserved_read(struct weir_replay_site *site, const struct weir_sim_options *o, struct weir_err *err)
{
    if (o->reserved == NULL) {
        return 0;
    }
    site->reserved = true;
    WEIR_CLEANUP(weir_input_freep) struct weir_input *in = NULL;
    int r = weir_streq(o->reserved, "-") ? weir_fail(err, -WEIR_EINVAL, "a file is needed, not the standard input")
                                         : weir_input_table(&in, o->reserved, columns, WEIR_ARRAY_LEN(columns), err);
    while (r >= 0 && (r = weir_input_next(in, err)) > 0) {
        r = read_line(site, in, err);
    }
    return r < 0 ? weir_fail_prefix(err, r, "--reserved") : 0;
}

void weir_replay_reserved_release(struct weir_replay_site *site)
{
    for (size_t k = 0; k < site->n_providers; k++) {
        free(site->term[k]);
    }
}
