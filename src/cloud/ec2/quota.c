/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EC2's quotas: so many vCPUs of a family of types per region, apart on demand and on the spot. Service Quotas tells the limits, which change
 * seldom; what is in use it does not tell: all machines of those families are counted, whoever's. Codes and what they count are from the
 * EC2 user guide, "On-Demand Instance quotas" and "Spot Instance quotas".
 */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cloud/ec2/ec2_priv.h"

#define LIMITS_EVERY weir_dur_s(900)

enum { MACHINES_MAX = 100000, PAGES_MAX = 200, REPLY_BYTES_MAX = 64 << 10 };

static const struct {
    const char *code;
    const char *type[3];
    enum weir_market market;
} families[EC2_QUOTAS] = {
    {"L-DB2E81BA", {"g*", "vt*"}, WEIR_OFFER_ON_DEMAND},
    {"L-417A185B", {"p*"}, WEIR_OFFER_ON_DEMAND},
    {"L-3819A6DF", {"g*", "vt*"}, WEIR_OFFER_SPOT},
    {"L-7212CCBC", {"p2*", "p3*", "p4*"}, WEIR_OFFER_SPOT},
    {"L-C4BD4855", {"p5*"}, WEIR_OFFER_SPOT},
};

/* One asking, of all regions side by side. */
struct quota_run {
    struct weir_provider *p;
    weir_provider_fn *done;
    void *ctx;
    size_t left; /* regions under way */
    enum weir_provider_class class; /* of what was not answered; OK: all was, or was refused for good */
    struct weir_dur retry_after;
    char text[256];
    WEIR_VEC(struct weir_provider_quota) row;
};

struct quota_region {
    struct quota_run *run;
    size_t index;
    size_t next; /* of the families whose limit is asked for */
    size_t machines;
    unsigned pages; /* of machines, that came */
    int64_t used[EC2_QUOTAS];
};

static void free_run(struct quota_run *run)
{
    weir_vec_release(&run->row);
    free(run);
}

static void drop_region(void *ctx)
{
    struct quota_region *c = ctx;
    struct quota_run *run = c->run;
    free(c);
    if (--run->left == 0) {
        free_run(run);
    }
}

static void end_region(struct quota_region *c)
{
    struct quota_run *run = c->run;
    if (run->left == 1) {
        struct weir_provider_result r = {.class = run->class, .retry_after = run->retry_after};
        memcpy(r.text, run->text, sizeof r.text);
        if (run->class == WEIR_PROVIDER_OK) {
            r.quota = run->row.p;
            r.n_quotas = run->row.n;
        }
        run->done(run->ctx, &r);
    }
    drop_region(c);
}

/* The region's quotas are not known. For good (it is not allowed to ask): the other regions' stand all the same. */
static void fail_region(struct quota_region *c, enum weir_provider_class class, const char *text, struct weir_dur retry_after)
{
    struct quota_run *run = c->run;
    if (class != WEIR_PROVIDER_REFUSED) {
        run->class = class;
        run->retry_after = retry_after;
    }
    (void)snprintf(run->text, sizeof run->text, "%.200s (%s)", text, run->p->conf.region[c->index]);
    end_region(c);
}

static void fail_answer(struct quota_region *c, const struct weir_cloud_answer *a)
{
    /* what a launch could meet is no answer here */
    enum weir_provider_class class = a->class == WEIR_PROVIDER_NO_CAPACITY || a->class == WEIR_PROVIDER_QUOTA ? WEIR_PROVIDER_REFUSED : a->class;
    fail_region(c, class, a->text, a->retry_after);
}

/* ---- what counts ---- */

static bool counts_type(size_t family, const char *type)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(families[family].type) && families[family].type[i] != NULL; i++) {
        if (weir_glob_match(weir_sv_of(families[family].type[i]), weir_sv_of(type))) {
            return true;
        }
    }
    return false;
}

/* Could a machine be rented that the family's quota counts? */
static bool is_wanted(const struct weir_provider *p, size_t region, size_t family)
{
    size_t n = 0;
    const struct weir_offer *o = p->env->catalogue == NULL ? NULL : p->env->catalogue(p->env->catalogue_ctx, EC2_NAME, &n);
    bool market = families[family].market == WEIR_OFFER_SPOT ? p->conf.spot : p->conf.on_demand;
    for (size_t i = 0; i < n && market; i++) {
        if (weir_streq(o[i].region, p->conf.region[region]) && ec2_type_is_wanted(&p->conf, o[i].instance_type) && counts_type(family, o[i].instance_type)) {
            return true;
        }
    }
    return false;
}

static int64_t xml_count(const struct weir_xml *x, const char *path)
{
    uint64_t n = 0;
    return weir_parse_u64(weir_sv_of(weir_xml_text(x, path)), 0, 100000, &n, NULL) < 0 ? 0 : (int64_t)n;
}

static void count_machine(struct quota_region *c, const struct weir_xml *item)
{
    const char *type = weir_xml_text(item, "instanceType");
    const char *lifecycle = weir_xml_text(item, "instanceLifecycle");
    enum weir_market market = weir_streq(lifecycle, "spot") ? WEIR_OFFER_SPOT : WEIR_OFFER_ON_DEMAND;
    c->machines++;
    if ((market != WEIR_OFFER_SPOT && lifecycle[0] != '\0') || weir_streq(weir_xml_text(item, "placement/tenancy"), "host")) {
        return; /* in a block of capacity, or on a host of one's own: these have quotas of their own */
    }
    int64_t cores = xml_count(item, "cpuOptions/coreCount") * xml_count(item, "cpuOptions/threadsPerCore");
    for (size_t i = 0; i < EC2_QUOTAS; i++) {
        if (families[i].market == market && counts_type(i, type)) {
            c->used[i] += cores;
        }
    }
}

/* ---- the answer of a region ---- */

static void take_rows(struct quota_region *c)
{
    struct weir_provider *p = c->run->p;
    const struct ec2_region *r = &p->region[c->index];
    for (size_t i = 0; i < EC2_QUOTAS; i++) {
        if (r->quota[i].limit < 0 || !is_wanted(p, c->index, i)) {
            continue;
        }
        struct weir_provider_quota q = {.unit = WEIR_QUOTA_UNIT_CORES, .markets = (uint8_t)(1u << families[i].market), .limit = r->quota[i].limit,
                                        .used = c->used[i]};
        (void)snprintf(q.name, sizeof q.name, "%s (%s)", r->quota[i].name, families[i].code);
        memcpy(q.region, p->conf.region[c->index], sizeof q.region);
        for (size_t k = 0; k < WEIR_ARRAY_LEN(families[i].type) && families[i].type[k] != NULL; k++) {
            (void)snprintf(q.type[q.n_types++], sizeof q.type[0], "%s", families[i].type[k]);
        }
        weir_vec_push(&c->run->row, q);
    }
}

/* ---- asking for what is in use ---- */

static void ask_used(struct quota_region *c, const char *token);

static void on_used(void *ctx, const struct weir_cloud_answer *a)
{
    struct quota_region *c = ctx;
    struct weir_arena arena = {0};
    const struct weir_xml *root = NULL;
    if (a->class != WEIR_PROVIDER_OK) {
        fail_answer(c, a);
        return;
    }
    if (weir_xml_parse(a->body, &arena, &root, NULL) < 0) {
        weir_arena_release(&arena);
        fail_region(c, WEIR_PROVIDER_UNKNOWN, EC2_NAME ": DescribeInstances: the answer cannot be read", (struct weir_dur){0});
        return;
    }
    const struct weir_xml *set = weir_xml_at(root, "reservationSet");
    for (const struct weir_xml *x = set == NULL ? NULL : set->first; x != NULL; x = x->next) {
        const struct weir_xml *machines = weir_xml_at(x, "instancesSet");
        for (const struct weir_xml *i = machines == NULL ? NULL : machines->first; i != NULL; i = i->next) {
            count_machine(c, i);
        }
    }
    const char *token = weir_xml_text(root, "nextToken");
    if (token[0] == '\0') {
        take_rows(c);
        end_region(c);
    } else if (c->machines > MACHINES_MAX || ++c->pages == PAGES_MAX) {
        fail_region(c, WEIR_PROVIDER_REFUSED, EC2_NAME ": DescribeInstances: more machines than are counted", (struct weir_dur){0});
    } else {
        ask_used(c, token);
    }
    weir_arena_release(&arena);
}

static void ask_used(struct quota_region *c, const char *token)
{
    struct weir_provider *p = c->run->p;
    WEIR_CLEANUP(weir_str_release) struct weir_str form = ec2_form("DescribeInstances");
    ec2_form_add(&form, "Filter.1.Name", "instance-state-name");
    ec2_form_add(&form, "Filter.1.Value.1", "pending");
    ec2_form_add(&form, "Filter.1.Value.2", "running");
    ec2_form_add(&form, "Filter.2.Name", "instance-type");
    ec2_form_add(&form, "Filter.2.Value.1", "g*");
    ec2_form_add(&form, "Filter.2.Value.2", "vt*");
    ec2_form_add(&form, "Filter.2.Value.3", "p*");
    ec2_form_add(&form, "MaxResults", "1000");
    if (token[0] != '\0') {
        ec2_form_add(&form, "NextToken", token);
    }
    if (ec2_send(p, p->conf.region[c->index], "DescribeInstances", WEIR_CLOUD_READ, WEIR_CHECK_MS_MAX, &form, on_used, drop_region, c) < 0) {
        fail_region(c, WEIR_PROVIDER_THROTTLED, EC2_NAME ": too many calls are under way", (struct weir_dur){0});
    }
}

/* ---- asking for the limits ---- */

static void ask_limit(struct quota_region *c);

static void on_limit(void *ctx, const struct weir_cloud_answer *a)
{
    struct quota_region *c = ctx;
    struct weir_provider *p = c->run->p;
    struct ec2_quota *known = &p->region[c->index].quota[c->next];
    bool is_none = weir_streq(a->code, "NoSuchResourceException"); /* the region has no such quota */
    json_t *body = a->class == WEIR_PROVIDER_OK ? json_loadb(a->body.p, a->body.n, 0, NULL) : NULL;
    const json_t *quota = json_object_get(body, "Quota");
    const json_t *value = json_object_get(quota, "Value");
    const char *name = json_string_value(json_object_get(quota, "QuotaName"));
    if (!is_none && (a->class != WEIR_PROVIDER_OK || name == NULL || !json_is_number(value))) {
        json_decref(body);
        if (a->class != WEIR_PROVIDER_OK) {
            fail_answer(c, a);
        } else {
            fail_region(c, WEIR_PROVIDER_UNKNOWN, EC2_NAME ": GetServiceQuota: the answer cannot be read", (struct weir_dur){0});
        }
        return;
    }
    double limit = is_none ? -1.0 : json_number_value(value);
    known->limit = limit >= 0.0 && limit < 1e12 ? (int64_t)limit : -1;
    (void)snprintf(known->name, sizeof known->name, "%.70s", is_none ? "" : name);
    known->at = weir_clock_wall(p->env->clock);
    json_decref(body);
    c->next++;
    ask_limit(c);
}

/* Asks for the next limit that is not known, or old; when all are, for what is in use. */
static void ask_limit(struct quota_region *c)
{
    static const struct weir_http_header header[] = {{"Content-Type", "application/x-amz-json-1.1"},
                                                     {"X-Amz-Target", "ServiceQuotasV20190624.GetServiceQuota"}};
    struct weir_provider *p = c->run->p;
    const char *region = p->conf.region[c->index];
    struct weir_wall now = weir_clock_wall(p->env->clock);
    for (; c->next < EC2_QUOTAS; c->next++) {
        const struct ec2_quota *known = &p->region[c->index].quota[c->next];
        bool is_young = known->at.us != 0 && weir_wall_sub(now, known->at).us < LIMITS_EVERY.us;
        if (!is_young && is_wanted(p, c->index, c->next)) {
            break;
        }
    }
    if (c->next == EC2_QUOTAS) {
        ask_used(c, "");
        return;
    }
    char url[320];
    char scope[EC2_SCOPE_SIZE];
    WEIR_CLEANUP(weir_str_release) struct weir_str body = WEIR_STR_INIT(256);
    struct weir_json j = weir_json_begin(&body);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "ServiceCode", "ec2");
    weir_json_kv_cstr(&j, "QuotaCode", families[c->next].code);
    weir_json_end(&j);
    ec2_url(p, "servicequotas", region, url, sizeof url);
    (void)snprintf(scope, sizeof scope, "%s/servicequotas", region);
    const struct weir_cloud_request q = {.what = "GetServiceQuota", .kind = WEIR_CLOUD_READ, .method = "POST", .url = url, .header = header,
                                         .n_headers = WEIR_ARRAY_LEN(header), .body = weir_str_sv(&body), .scope = scope,
                                         .deadline_ms = WEIR_CHECK_MS_MAX, .reply_bytes_max = REPLY_BYTES_MAX};
    if (weir_cloud_send(p->cloud, &q, on_limit, drop_region, c) < 0) {
        fail_region(c, WEIR_PROVIDER_THROTTLED, EC2_NAME ": too many calls are under way", (struct weir_dur){0});
    }
}

/* The first call is made by the loop: what cannot be sent is answered, never from inside the contract's call. */
static void on_begin(void *ctx, const struct weir_cloud_answer *a)
{
    (void)a;
    ask_limit(ctx);
}

int ec2_quota(struct weir_provider *p, weir_provider_fn *done, void *ctx)
{
    struct quota_run *run = weir_alloc(sizeof *run);
    *run = (struct quota_run){.p = p, .done = done, .ctx = ctx, .class = WEIR_PROVIDER_OK};
    for (size_t i = 0; i < p->conf.n_regions; i++) {
        struct quota_region *c = weir_alloc(sizeof *c);
        *c = (struct quota_region){.run = run, .index = i};
        if (weir_cloud_refuse(p->cloud, "quota", WEIR_PROVIDER_OK, "", on_begin, drop_region, c) == 0) {
            run->left++;
        } else {
            free(c);
        }
    }
    if (run->left == 0) {
        free_run(run);
        return -WEIR_ELIMIT;
    }
    return 0;
}
