/* SPDX-License-Identifier: Apache-2.0 */
/* The section `aws` of the configuration. */

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cloud/ec2/ec2_priv.h"
#include "cloud/section.h"

/* Ubuntu 24.04 with NVIDIA's driver, kept by AWS: a public parameter in every region. */
#define IMAGE_DEFAULT "ssm:/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"

static const char *const keys[] = {
    "regions",     "types",   "spot",      "on_demand",   "profile", "role_arn", "external_id",  "image",         "subnets",          "security_groups",
    "key_name",    "public_ip", "volume_gb", "root_device", "agent",   "before",   "prices_every", "price_max_age", "instance_profile", "calls_per_second",
    "page_size",   "endpoint", "list_prices", NULL,
};

bool ec2_region_is_valid(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return n > 3 && name[n] == '\0' && n < WEIR_REGION_SIZE && strchr(name, '-') != NULL;
}

static bool is_image(const char *name)
{
    return strncmp(name, "ami-", 4) == 0 || strncmp(name, "ssm:/", 5) == 0;
}

static int add_image(struct ec2_conf *c, const char *region, const json_t *v, struct weir_err *err)
{
    const char *name = json_string_value(v);
    struct ec2_image *i = &c->image[c->n_images];
    if (name == NULL || !is_image(name) || strlen(name) >= sizeof i->name) {
        return weir_section_bad(err, EC2_NAME, "image", "must be \"ami-...\" or \"ssm:/...\", or those by region");
    }
    if (c->n_images == WEIR_ARRAY_LEN(c->image) || strlen(region) >= sizeof i->region) {
        return weir_section_bad(err, EC2_NAME, "image", "too many regions, or a name that is too long");
    }
    (void)snprintf(i->region, sizeof i->region, "%s", region);
    (void)snprintf(i->name, sizeof i->name, "%s", name);
    c->n_images++;
    return 0;
}

static int read_image(struct ec2_conf *c, const json_t *section, struct weir_err *err)
{
    json_t *v = json_object_get(section, "image");
    const char *region;
    json_t *each;
    int r = 0;
    if (v != NULL && !json_is_object(v)) {
        r = add_image(c, "", v, err);
    }
    json_object_foreach(v, region, each)
    {
        r = r < 0 ? r : add_image(c, region, each, err);
    }
    if (r == 0 && (v == NULL || json_is_object(v))) {
        json_t *otherwise = json_string(IMAGE_DEFAULT);
        r = add_image(c, "", otherwise, err); /* comes last: a region's own goes before */
        json_decref(otherwise);
    }
    return r;
}

static int read_subnets(struct ec2_conf *c, const json_t *section, struct weir_err *err)
{
    json_t *v = json_object_get(section, "subnets");
    const char *zone;
    json_t *id;
    if (v != NULL && (!json_is_object(v) || json_object_size(v) > EC2_SUBNETS_MAX)) {
        return weir_section_bad(err, EC2_NAME, "subnets", "must be a mapping such as {us-east-1a: subnet-0abc}");
    }
    json_object_foreach(v, zone, id)
    {
        struct ec2_subnet *s = &c->subnet[c->n_subnets++];
        if (!json_is_string(id) || strlen(zone) >= sizeof s->zone || json_string_length(id) >= sizeof s->id || strncmp(json_string_value(id), "subnet-", 7) != 0) {
            return weir_section_bad(err, EC2_NAME, "subnets", "each must be a zone's name and \"subnet-...\"");
        }
        (void)snprintf(s->zone, sizeof s->zone, "%s", zone);
        (void)snprintf(s->id, sizeof s->id, "%s", json_string_value(id));
    }
    return 0;
}

static int default_region(struct ec2_conf *c, const struct weir_provider_env *env, struct weir_err *err)
{
    static const char *const vars[] = {"AWS_REGION", "AWS_DEFAULT_REGION"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(vars) && c->n_regions == 0; i++) {
        const char *v = weir_section_env(env, vars[i]);
        if (v != NULL && strlen(v) < sizeof c->region[0]) {
            (void)snprintf(c->region[0], sizeof c->region[0], "%s", v);
            c->n_regions = 1;
        }
    }
    if (c->n_regions == 0 && ec2_profile_get(env, ec2_profile_name(env, c), "region", c->region[0], sizeof c->region[0])) {
        c->n_regions = 1;
    }
    return c->n_regions > 0 ? 0 : weir_section_bad(err, EC2_NAME, "regions", "no region is known: name them here, or set AWS_REGION");
}

int ec2_conf_read(struct ec2_conf *ret, const json_t *section, const struct weir_provider_env *env, struct weir_err *err)
{
    struct ec2_conf *c = ret;
    *c = (struct ec2_conf){.spot = true,
                           .on_demand = true,
                           .list_prices = true,
                           .public_ip = true,
                           .volume_gb = 100,
                           .root_device = "/dev/sda1",
                           .prices_every = weir_dur_s(300),
                           .price_max_age = weir_dur_s(3600),
                           .per_second = 10,
                           .page_size = 1000};
    int r = weir_section_check(section, EC2_NAME, keys, err);
    r = r < 0 ? r : weir_section_names(section, EC2_NAME, "regions", c->region[0], sizeof c->region[0], EC2_REGIONS_MAX, &c->n_regions, err);
    r = r < 0 ? r : weir_section_names(section, EC2_NAME, "types", c->type[0], sizeof c->type[0], EC2_TYPES_MAX, &c->n_types, err);
    r = r < 0 ? r : weir_section_bool(section, EC2_NAME, "spot", &c->spot, err);
    r = r < 0 ? r : weir_section_bool(section, EC2_NAME, "on_demand", &c->on_demand, err);
    r = r < 0 ? r : weir_section_bool(section, EC2_NAME, "list_prices", &c->list_prices, err);
    r = r < 0 ? r : weir_section_text(section, EC2_NAME, "profile", c->profile, sizeof c->profile, err);
    r = r < 0 ? r : weir_section_text(section, EC2_NAME, "role_arn", c->role_arn, sizeof c->role_arn, err);
    r = r < 0 ? r : weir_section_text(section, EC2_NAME, "external_id", c->external_id, sizeof c->external_id, err);
    r = r < 0 ? r : read_image(c, section, err);
    r = r < 0 ? r : read_subnets(c, section, err);
    r = r < 0 ? r : weir_section_names(section, EC2_NAME, "security_groups", c->group[0], sizeof c->group[0], EC2_GROUPS_MAX, &c->n_groups, err);
    r = r < 0 ? r : weir_section_text(section, EC2_NAME, "instance_profile", c->instance_profile, sizeof c->instance_profile, err);
    r = r < 0 ? r : weir_section_text(section, EC2_NAME, "key_name", c->key_name, sizeof c->key_name, err);
    r = r < 0 ? r : weir_section_bool(section, EC2_NAME, "public_ip", &c->public_ip, err);
    r = r < 0 ? r : weir_section_u32(section, EC2_NAME, "volume_gb", 8, 16384, &c->volume_gb, err);
    r = r < 0 ? r : weir_section_text(section, EC2_NAME, "root_device", c->root_device, sizeof c->root_device, err);
    r = r < 0 ? r : weir_section_text(section, EC2_NAME, "agent", c->agent, sizeof c->agent, err);
    r = r < 0 ? r : weir_section_text(section, EC2_NAME, "before", c->before, sizeof c->before, err);
    r = r < 0 ? r : weir_section_duration(section, EC2_NAME, "prices_every", &c->prices_every, err);
    r = r < 0 ? r : weir_section_duration(section, EC2_NAME, "price_max_age", &c->price_max_age, err);
    r = r < 0 ? r : weir_section_u32(section, EC2_NAME, "calls_per_second", 1, 1000, &c->per_second, err);
    r = r < 0 ? r : weir_section_u32(section, EC2_NAME, "page_size", 1, 1000, &c->page_size, err);
    r = r < 0 ? r : weir_section_endpoint(section, EC2_NAME, "endpoint", c->endpoint, sizeof c->endpoint, err);
    r = r < 0 ? r : default_region(c, env, err);
    c->has_profile = c->profile[0] != '\0';
    for (size_t i = 0; i < c->n_regions && r == 0; i++) {
        if (!ec2_region_is_valid(c->region[i])) {
            char want[96];
            (void)snprintf(want, sizeof want, "'%s' is not a region, such as us-east-1", c->region[i]);
            r = weir_section_bad(err, EC2_NAME, "regions", want);
        }
    }
    if (r == 0 && !c->spot && !c->on_demand) {
        r = weir_section_bad(err, EC2_NAME, "spot", "neither spot nor on_demand is wanted: nothing can be rented");
    }
    return r;
}
