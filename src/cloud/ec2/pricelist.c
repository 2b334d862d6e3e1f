/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What types cost on demand, by the Price List Query API: asked for type by type, one region after another's own pace, a few times a day, beside
 * everything else. Offers do not wait for it: until it is there, and where it fails, the catalogue's price stands, with its age.
 */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/parse.h"
#include "cloud/ec2/ec2_priv.h"

enum { REPLY_BYTES_MAX = 4 << 20, LISTED_MAX = 500 };

#define LIST_EVERY weir_dur_s(12 * 3600)
#define LIST_RETRY weir_dur_s(3600)
#define LIST_MAX_AGE weir_dur_s(48 * 3600)
#define LIST_REGION "us-east-1" /* where the service itself is; it knows all regions but China's */

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

/* The highest of a product's hourly prices in USD; 0: it has none. */
static int64_t read_terms(const json_t *product)
{
    int64_t best = 0;
    const char *key;
    json_t *term;
    json_object_foreach(json_object_get(json_object_get(product, "terms"), "OnDemand"), key, term)
    {
        const char *rate;
        json_t *dimension;
        json_object_foreach(json_object_get(term, "priceDimensions"), rate, dimension)
        {
            const char *unit = json_string_value(json_object_get(dimension, "unit"));
            const char *usd = json_string_value(json_object_get(json_object_get(dimension, "pricePerUnit"), "USD"));
            int64_t micro = unit != NULL && usd != NULL && weir_streq(unit, "Hrs") ? read_price(usd) : 0;
            best = micro > best ? micro : best;
        }
    }
    return best;
}

static int64_t read_products(const json_t *list, const char *type, const char *region)
{
    int64_t best = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        json_t *product = text == NULL ? NULL : json_loads(text, 0, NULL);
        const json_t *is = json_object_get(json_object_get(product, "product"), "attributes");
        const char *its_type = json_string_value(json_object_get(is, "instanceType"));
        const char *its_region = json_string_value(json_object_get(is, "regionCode"));
        if (its_type != NULL && its_region != NULL && weir_streq(its_type, type) && weir_streq(its_region, region)) {
            int64_t micro = read_terms(product);
            best = micro > best ? micro : best;
        }
        json_decref(product);
    }
    return best;
}

static void keep(struct weir_provider *p, size_t region, const char *type, int64_t micro)
{
    struct ec2_region *r = &p->region[region];
    struct ec2_listed fresh = {.micro_per_hour = micro, .at = weir_clock_wall(p->env->clock)};
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
    int64_t micro = read_products(list, type, p->conf.region[op->region]);
    json_decref(body);
    if (micro > 0) { /* 0: sold otherwise, in blocks of capacity, say */
        keep(p, op->region, type, micro);
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
    char url[320];
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
    ec2_url(p, "api.pricing", LIST_REGION, url, sizeof url);
    const struct weir_cloud_request q = {.what = "GetProducts", .kind = WEIR_CLOUD_READ, .method = "POST", .url = url, .header = header,
                                         .n_headers = WEIR_ARRAY_LEN(header), .body = weir_str_sv(&body), .scope = LIST_REGION "/pricing",
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
        if (r->listing || strncmp(p->conf.region[i], "cn-", 3) == 0 || !is_older(p, r->listed_at, LIST_EVERY) || !is_older(p, r->list_tried_at, LIST_RETRY)) {
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
        r->list_tried_at = weir_clock_wall(p->env->clock);
        r->listing = op->todo.n > 0 && send_next(op) == 0;
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
