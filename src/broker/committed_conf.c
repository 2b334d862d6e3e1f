/* SPDX-License-Identifier: Apache-2.0 */

/* Reading "committed" of the configuration: one item is one commitment, or a plan that covers several types. */

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/parse.h"
#include "cloud/section.h"
#include "config_priv.h"

static const char where[] = "committed";

static int check_provider(const char *name, struct weir_err *err)
{
    char text[256];
    if (weir_provider_find(name) != NULL) {
        return 0;
    }
    weir_provider_unknown(name, text, sizeof text);
    return weir_section_bad(err, where, "provider", text);
}

static int read_time(const struct json_t *section, const char *key, struct weir_wall *ret, struct weir_err *err)
{
    char text[48] = "";
    int r = weir_section_text(section, where, key, text, sizeof text, err);
    if (r == 0 && text[0] != '\0' && weir_parse_time(weir_sv_of(text), ret, NULL) < 0) {
        return weir_section_bad(err, where, key, "must be a time, such as 2027-01-01 or 2027-01-01T11:30:00Z");
    }
    return r;
}


/* ---- what machines have to name ---- */

static bool is_word(const char *s, size_t n)
{
    return n > 0 && n <= 63 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") >= n;
}

/* "name", or "projects/P/reservations/NAME" of one that is shared */
static bool is_gce_reservation(const char *s)
{
    static const char projects[] = "projects/";
    static const char reservations[] = "/reservations/";
    if (strncmp(s, projects, sizeof projects - 1) == 0) {
        const char *project = s + sizeof projects - 1;
        const char *rest = strstr(project, reservations);
        if (rest == NULL || rest == project || memchr(project, '/', (size_t)(rest - project)) != NULL) {
            return false;
        }
        s = rest + sizeof reservations - 1;
    }
    return is_word(s, strlen(s));
}

static int check_reservation(const struct weir_config_committed *c, struct weir_err *err)
{
    const char *s = c->reservation;
    bool is_aws = weir_streq(c->provider, "aws");
    bool is_gcp = weir_streq(c->provider, "gcp");
    if (s[0] != '\0' && is_aws && strncmp(s, "cr-", 3) != 0 && (strncmp(s, "arn:", 4) != 0 || strstr(s, ":group/") == NULL)) {
        return weir_section_bad(err, where, "reservation", "of aws is the id of a capacity reservation or block (cr-...), or the ARN of a resource group");
    }
    if (s[0] != '\0' && is_gcp && !is_gce_reservation(s)) {
        return weir_section_bad(err, where, "reservation", "of gcp is its name, or projects/PROJECT/reservations/NAME of one that is shared");
    }
    if (s[0] != '\0' && weir_streq(c->provider, "azure") && (strncmp(s, "/subscriptions/", 15) != 0 || strstr(s, "/capacityReservationGroups/") == NULL)) {
        return weir_section_bad(err, where, "reservation",
                                "of azure is the id of a capacity reservation group: /subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/capacityReservationGroups/NAME");
    }
    if (s[0] != '\0' && !is_aws && !is_gcp && !weir_streq(c->provider, "azure")) {
        return weir_section_bad(err, where, "reservation", "is for aws, gcp and azure: machines of others have none to name");
    }
    if (s[0] != '\0' && is_gcp && c->zone[0] == '\0') {
        return weir_section_bad(err, where, "zone", "is needed with a reservation of gcp: it is in one zone");
    }
    if (c->bound && (c->until.us == INT64_MAX || (s[0] == '\0' && !weir_streq(c->provider, "sandbox")))) {
        return weir_section_bad(err, where, "bound", "is of a reservation whose machines end with it: say 'reservation' and 'until'");
    }
    if (c->bound && weir_streq(c->provider, "azure")) {
        return weir_section_bad(err, where, "bound", "is for EC2 Capacity Blocks and Compute Engine's reservations that machines are bound to");
    }
    return 0;
}

/* ---- an item ---- */

/* At one time; one that follows another is the same commitment, renewed. */
static bool is_twice(const struct weir_config *c, const struct weir_config_committed *x)
{
    for (size_t i = 0; i < c->n_committed; i++) {
        const struct weir_config_committed *o = &c->committed[i];
        if (weir_streq(o->provider, x->provider) && weir_streq(o->instance_type, x->instance_type) && weir_streq(o->region, x->region) &&
            weir_streq(o->zone, x->zone) && x->from.us < o->until.us && o->from.us < x->until.us && weir_streq(o->reservation, x->reservation) && weir_streq(o->name, x->name)) {
            return true;
        }
    }
    return false;
}

static int add(struct weir_config *c, const struct weir_config_committed *x, struct weir_err *err)
{
    if (x->instance_type[0] == '\0' || x->region[0] == '\0') {
        return weir_section_bad(err, where, x->instance_type[0] == '\0' ? "instance_type" : "region", "is missing");
    }
    int r = check_reservation(x, err);
    if (r < 0) {
        return r;
    }
    if (is_twice(c, x)) {
        return weir_section_bad(err, where, "instance_type", "is there twice with the same place: add their machines up, or give each a 'name'");
    }
    if (c->n_committed == WEIR_CONFIG_COMMITTED_MAX) {
        return weir_section_bad(err, where, "", "too many commitments: 256 at most");
    }
    c->committed[c->n_committed++] = *x;
    return 0;
}

static int read_type(const struct json_t *section, struct weir_config_committed *x, struct weir_err *err)
{
    int r = weir_section_text(section, where, "instance_type", x->instance_type, sizeof x->instance_type, err);
    r = r < 0 ? r : weir_section_text(section, where, "region", x->region, sizeof x->region, err);
    r = r < 0 ? r : weir_section_text(section, where, "zone", x->zone, sizeof x->zone, err);
    return r < 0 ? r : weir_section_price(section, where, "per_hour", &x->price_micro_per_hour, err);
}

/* How many machines of one type a plan's money is enough for. */
static int machines_of(struct weir_config_committed *x, int64_t plan, struct weir_err *err)
{
    int64_t n = x->price_micro_per_hour == 0 ? 0 : plan / x->price_micro_per_hour;
    if (n < 1 || n > 100000) {
        return weir_section_bad(err, where, "per_hour", "must be the plan's rate of one machine, for which plan_per_hour is enough");
    }
    x->machines = (uint32_t)n;
    return 0;
}

/* A plan whose money several types share. */
static int read_covers(struct weir_config *c, const json_t *covers, const struct weir_config_committed *plan, struct weir_err *err)
{
    static const char *const keys[] = {"instance_type", "region", "zone", "per_hour", NULL};
    if (plan->instance_type[0] != '\0' || plan->region[0] != '\0' || plan->zone[0] != '\0' || plan->price_micro_per_hour != 0 || plan->reservation[0] != '\0') {
        return weir_section_bad(err, where, "covers", "has type, region, zone and per_hour of each: they cannot stand beside it, nor can a reservation");
    }
    if (!json_is_array(covers) || json_array_size(covers) == 0 || plan->name[0] == '\0' || plan->plan_micro_per_hour == 0) {
        return weir_section_bad(err, where, "covers", "is a list of what the plan covers, with a name and plan_per_hour beside it");
    }
    for (size_t i = 0; i < json_array_size(covers); i++) {
        const json_t *item = json_array_get(covers, i);
        struct weir_config_committed x = *plan;
        int r = json_is_object(item) ? weir_section_check(item, "committed.covers", keys, err) : weir_section_bad(err, where, "covers", "each must be a mapping with instance_type, region, per_hour");
        r = r < 0 ? r : read_type(item, &x, err);
        r = r < 0 ? r : machines_of(&x, plan->plan_micro_per_hour, err);
        r = r < 0 ? r : add(c, &x, err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* The same number for the same plan after each start: leases bear it. Not 0. */
static uint64_t plan_number(const struct weir_config_committed *x)
{
    char text[sizeof x->provider + sizeof x->name + 1];
    int n = snprintf(text, sizeof text, "%s/%s", x->provider, x->name);
    return weir_hash_bytes(text, (size_t)n) | 1;
}

int committed_read(struct weir_config *c, const struct json_t *section, uint32_t line, struct weir_err *err)
{
    static const char *const keys[] = {"name", "provider", "instance_type", "region", "zone", "machines", "plan_per_hour", "per_hour", "from", "until", "reservation", "bound",
                                       "covers", NULL};
    struct weir_config_committed x = {.until = WEIR_WALL_MAX, .line = line};
    int64_t plan = 0;
    int r = json_is_object(section) ? weir_section_check(section, where, keys, err) : weir_section_bad(err, where, "", "each must be a mapping with provider, instance_type, region");
    r = r < 0 ? r : weir_section_text(section, where, "name", x.name, sizeof x.name, err);
    r = r < 0 ? r : weir_section_text(section, where, "provider", x.provider, sizeof x.provider, err);
    r = r < 0 ? r : read_type(section, &x, err);
    r = r < 0 ? r : weir_section_text(section, where, "reservation", x.reservation, sizeof x.reservation, err);
    r = r < 0 ? r : weir_section_bool(section, where, "bound", &x.bound, err);
    r = r < 0 ? r : weir_section_u32(section, where, "machines", 1, 100000, &x.machines, err);
    r = r < 0 ? r : weir_section_price(section, where, "plan_per_hour", &plan, err);
    r = r < 0 ? r : read_time(section, "from", &x.from, err);
    r = r < 0 ? r : read_time(section, "until", &x.until, err);
    if (r < 0) {
        return r;
    }
    if (x.provider[0] == '\0') {
        return weir_section_bad(err, where, "provider", "is missing");
    }
    r = check_provider(x.provider, err);
    if (r < 0) {
        return r;
    }
    if (x.until.us <= x.from.us) {
        return weir_section_bad(err, where, "until", "must be later than from");
    }
    if ((x.machines == 0) == (plan == 0)) {
        return weir_section_bad(err, where, "machines", "is how many are paid for; or plan_per_hour what the plan pays for each hour: one of both");
    }
    if (json_object_get(section, "covers") != NULL) {
        x.plan = plan_number(&x);
        x.plan_micro_per_hour = plan;
        return read_covers(c, json_object_get(section, "covers"), &x, err);
    }
    r = plan > 0 ? machines_of(&x, plan, err) : 0;
    return r < 0 ? r : add(c, &x, err);
}
