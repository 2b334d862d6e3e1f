/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What types cost on demand, by the Price List Query API: asked for type by type, one region after another's own pace, a few times a day, beside
 * everything else. Offers do not wait for it: until it is there, and where it fails, the catalogue's price stands, with its age.
 */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/currency.h"
#include "base/json.h"
#include "base/parse.h"
#include "cloud/ec2/ec2_priv.h"

enum { REPLY_BYTES_MAX = 4 << 20, LISTED_MAX = 500 };

#define LIST_EVERY weir_dur_s(12 * 3600)
#define LIST_RETRY weir_dur_s(3600)
#define LIST_MAX_AGE weir_dur_s(48 * 3600)

/* One region's reading. */
struct list_op {
    struct weir_provider *p;
    size_t region;
    size_t at; /* of todo */
    WEIR_VEC(struct ec2_type) todo;
};

static void free_list(void *ctx)
{
    struct list_op *op = ctx;
    weir_vec_release(&op->todo);
    free(op);
}

static void end_list(struct list_op *op, const char *trouble)
{
    struct weir_provider *p = op->p;
    struct ec2_region *r = &p->region[op->region];
    r->listing = false;
    if (trouble == NULL) {
        r->listed_at = weir_clock_wall(p->env->clock);
        p->list_trouble[0] = '\0';
    } else {
        (void)snprintf(p->list_trouble, sizeof p->list_trouble, "%.180s; on demand the last prices stand", trouble);
    }
    free_list(op);
}

/* "55.0400000000": what is smaller than a micro-unit is cut off. */
static int64_t read_price(const char *text)
{
    int64_t micro = 0;
    const char *dot = strchr(text, '.');
    size_t n = dot != NULL && strlen(dot) > 7 ? (size_t)(dot - text) + 7 : strlen(text);
    return weir_parse_decimal((struct weir_sv){text, n}, 6, &micro, NULL) < 0 ? 0 : micro;
}

/* Where the service itself is: China's has its own, which knows China's regions only. */
static const char *list_region(const char *region)
{
    return ec2_is_china(region) ? "cn-northwest-1" : "us-east-1";
}

/*
 * {"USD": "55.04"}, or in China {"CNY": ...}: mostly one currency; of several the one that is usual in the region, else the first. 0: there is none,
 * or none that is known.
 */
static struct ec2_listed read_unit_price(const json_t *units, const char *usual)
{
    struct ec2_listed l = {.micro_per_hour = 0};
    const char *code = json_object_get(units, usual) != NULL ? usual : NULL;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)units, key, value)
    {
        code = code == NULL && weir_currency_is_known(key) ? key : code;
    }
    const char *text = code == NULL ? NULL : json_string_value(json_object_get(units, code));
    if (text != NULL) {
        l.micro_per_hour = read_price(text);
        (void)snprintf(l.currency, sizeof l.currency, "%s", code);
    }
    return l;
}

static void take_dearer(struct ec2_listed *best, const struct ec2_listed *l)
{
    if (l->micro_per_hour > best->micro_per_hour && (best->micro_per_hour == 0 || weir_streq(best->currency, l->currency))) {
        *best = *l;
    }
}

/* The highest of a product's hourly prices, all in one currency; 0: it has none. */
static struct ec2_listed read_terms(const json_t *product, const char *usual)
{
    struct ec2_listed best = {.micro_per_hour = 0};
    const char *key;
    json_t *term;
    json_object_foreach(json_object_get(json_object_get(product, "terms"), "OnDemand"), key, term)
    {
        const char *rate;
        json_t *dimension;
        json_object_foreach(json_object_get(term, "priceDimensions"), rate, dimension)
        {
            const char *unit = json_string_value(json_object_get(dimension, "unit"));
            if (unit != NULL && weir_streq(unit, "Hrs")) {
                struct ec2_listed l = read_unit_price(json_object_get(dimension, "pricePerUnit"), usual);
                take_dearer(&best, &l);
            }
        }
    }
    return best;
}

static struct ec2_listed read_products(const json_t *list, const char *type, const char *region)
{
    struct ec2_listed best = {.micro_per_hour = 0};
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        json_t *product = text == NULL ? NULL : json_loads(text, 0, NULL);
        const json_t *is = json_object_get(json_object_get(product, "product"), "attributes");
        const char *its_type = json_string_value(json_object_get(is, "instanceType"));
        const char *its_region = json_string_value(json_object_get(is, "regionCode"));
        if (its_type != NULL && its_region != NULL && weir_streq(its_type, type) && weir_streq(its_region, region)) {
            struct ec2_listed l = read_terms(product, ec2_usual_currency(region));
            take_dearer(&best, &l);
        }
        json_decref(product);
    }
    return best;
}

static void keep(struct weir_provider *p, size_t region, const char *type, struct ec2_listed fresh)
{
    struct ec2_region *r = &p->region[region];
    fresh.at = weir_clock_wall(p->env->clock);
    (void)snprintf(fresh.type, sizeof fresh.type, "%s", type);
    for (size_t i = 0; i < r->listed.n; i++) {
        if (weir_streq(r->listed.p[i].type, type)) {
            r->listed.p[i] = fresh;
            return;
        }
    }
    if (r->listed.n < LISTED_MAX) {
        weir_vec_push(&r->listed, fresh);
    }
}

static int send_next(struct list_op *op);

static void on_products(void *ctx, const struct weir_cloud_answer *a)
{
    struct list_op *op = ctx;
    struct weir_provider *p = op->p;
    const char *type = op->todo.p[op->at].name;
    json_t *body = a->class == WEIR_PROVIDER_OK ? json_loadb(a->body.p, a->body.n, 0, NULL) : NULL;
    const json_t *list = json_object_get(body, "PriceList");
    if (!json_is_array(list)) {
        char trouble[300];
        (void)snprintf(trouble, sizeof trouble, "%s", a->class == WEIR_PROVIDER_OK ? EC2_NAME ": GetProducts: the answer cannot be read" : a->text);
        json_decref(body);
        end_list(op, trouble);
        return;
    }
    struct ec2_listed found = read_products(list, type, p->conf.region[op->region]);
    json_decref(body);
    if (found.micro_per_hour > 0) { /* 0: sold otherwise, in blocks of capacity, say */
        keep(p, op->region, type, found);
    }
    op->at++;
    if (op->at == op->todo.n) {
        end_list(op, NULL);
    } else if (send_next(op) < 0) {
        end_list(op, EC2_NAME ": GetProducts: too many calls are under way");
    }
}

static void add_filter(struct weir_json *j, const char *field, const char *value)
{
    weir_json_object(j);
    weir_json_kv_cstr(j, "Type", "TERM_MATCH");
    weir_json_kv_cstr(j, "Field", field);
    weir_json_kv_cstr(j, "Value", value);
    weir_json_end(j);
}

/* Linux on shared hosts, by the hour: what weir rents. */
static int send_next(struct list_op *op)
{
    static const struct weir_http_header header[] = {{"Content-Type", "application/x-amz-json-1.1"}, {"X-Amz-Target", "AWSPriceListService.GetProducts"}};
    static const char *const fixed[][2] = {{"operatingSystem", "Linux"}, {"preInstalledSw", "NA"},     {"capacitystatus", "Used"},
                                           {"tenancy", "Shared"},        {"marketoption", "OnDemand"}, {"productFamily", "Compute Instance"}};
    struct weir_provider *p = op->p;
    const char *service_region = list_region(p->conf.region[op->region]);
    char url[320];
    char scope[WEIR_REGION_SIZE + 16];
    WEIR_CLEANUP(weir_str_release) struct weir_str body = WEIR_STR_INIT(4096);
    struct weir_json j = weir_json_begin(&body);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "ServiceCode", "AmazonEC2");
    weir_json_kv_cstr(&j, "FormatVersion", "aws_v1");
    weir_json_kv_u64(&j, "MaxResults", 100);
    weir_json_key(&j, "Filters");
    weir_json_array(&j);
    add_filter(&j, "regionCode", p->conf.region[op->region]);
    add_filter(&j, "instanceType", op->todo.p[op->at].name);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(fixed); i++) {
        add_filter(&j, fixed[i][0], fixed[i][1]);
    }
    weir_json_end(&j);
    weir_json_end(&j);
    ec2_url(p, "api.pricing", service_region, url, sizeof url);
    (void)snprintf(scope, sizeof scope, "%s/pricing", service_region);
    const struct weir_cloud_request q = {.what = "GetProducts", .kind = WEIR_CLOUD_READ, .method = "POST", .url = url, .header = header,
                                         .n_headers = WEIR_ARRAY_LEN(header), .body = weir_str_sv(&body), .scope = scope,
                                         .reply_bytes_max = REPLY_BYTES_MAX};
    return weir_cloud_send(p->cloud, &q, on_products, free_list, op);
}

static bool is_older(const struct weir_provider *p, struct weir_wall at, struct weir_dur age)
{
    return at.us == 0 || weir_wall_sub(weir_clock_wall(p->env->clock), at).us >= age.us;
}

void ec2_pricelist_refresh(struct weir_provider *p)
{
    size_t n = 0;
    const struct weir_offer *o = p->env->catalogue == NULL ? NULL : p->env->catalogue(p->env->catalogue_ctx, EC2_NAME, &n);
    for (size_t i = 0; i < p->conf.n_regions && p->conf.on_demand && p->conf.list_prices; i++) {
        struct ec2_region *r = &p->region[i];
        if (r->listing || !is_older(p, r->listed_at, LIST_EVERY) || !is_older(p, r->list_tried_at, LIST_RETRY)) {
            continue;
        }
        struct list_op *op = weir_alloc(sizeof *op);
        *op = (struct list_op){.p = p, .region = i};
        for (size_t k = 0; k < n && op->todo.n < LISTED_MAX; k++) {
            if (o[k].market == WEIR_OFFER_ON_DEMAND && weir_streq(o[k].region, p->conf.region[i]) && ec2_type_is_wanted(&p->conf, o[k].instance_type)) {
                struct ec2_type type;
                (void)snprintf(type.name, sizeof type.name, "%s", o[k].instance_type);
                weir_vec_push(&op->todo, type);
            }
        }
        if (op->todo.n > 0) { /* else there may be something to ask for soon: a rate of their currency may come */
            r->list_tried_at = weir_clock_wall(p->env->clock);
            r->listing = send_next(op) == 0;
        }
        if (!r->listing) {
            free_list(op);
        }
    }
}

const struct ec2_listed *ec2_pricelist_find(const struct weir_provider *p, size_t region, const char *type)
{
    const struct ec2_region *r = &p->region[region];
    for (size_t i = 0; i < r->listed.n; i++) {
        if (weir_streq(r->listed.p[i].type, type)) {
            return is_older(p, r->listed.p[i].at, LIST_MAX_AGE) ? NULL : &r->listed.p[i];
        }
    }
    return NULL;
}
