/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RunInstances. The machine's token is both its ClientToken, by which EC2 itself refuses a second machine, and a tag, by which it is found
 * again; both are set with the creation. The form is the same to the byte whenever a launch is repeated.
 */

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "cloud/boot.h"
#include "cloud/ec2/ec2_priv.h"

/* A public parameter moves when a new image is released. */
#define IMAGE_MAX_AGE weir_dur_s(86400)

/* Whoever asks has other offers to try: a provider that wants to be asked later is not waited for. */
enum { LAUNCH_DEADLINE_MS = 25000 };

struct launch_op {
    struct weir_provider *p;
    weir_provider_fn *done;
    void *ctx;
    int region;
    struct weir_str form; /* all but the image */
    char parameter[EC2_IMAGE_SIZE];
    char token[WEIR_TOKEN_SIZE];
};

static void free_op(void *ctx)
{
    struct launch_op *op = ctx;
    if (op->form.n > 0) {
        explicit_bzero(op->form.p, op->form.n); /* it has the join token */
    }
    weir_str_release(&op->form);
    free(op);
}

static void end_op(struct launch_op *op, const struct weir_provider_result *r)
{
    weir_provider_fn *done = op->done;
    void *ctx = op->ctx;
    free_op(op);
    done(ctx, r);
}

static void end_with(struct launch_op *op, enum weir_provider_class class, const char *text)
{
    struct weir_provider_result r = {.class = class};
    (void)snprintf(r.text, sizeof r.text, EC2_NAME ": %.240s", text);
    end_op(op, &r);
}

static void on_found(void *ctx, const struct weir_provider_result *found)
{
    struct weir_provider_result r = *found;
    if (r.class != WEIR_PROVIDER_OK || r.n_instances == 0) {
        end_with(ctx, WEIR_PROVIDER_UNKNOWN, "RunInstances: the token has made a machine, which is not seen yet");
        return;
    }
    end_op(ctx, &r);
}

static void on_run(void *ctx, const struct weir_cloud_answer *a)
{
    struct launch_op *op = ctx;
    struct weir_provider_result r = weir_cloud_result(a);
    struct weir_instance instance;
    struct weir_arena arena = {0};
    const struct weir_xml *root = NULL;
    struct weir_err err = {""};
    /* Launched before, with another join token, as after a restart: the machine of then is the answer. */
    if (weir_streq(a->code, "IdempotentParameterMismatch") && ec2_find(op->p, op->token, on_found, free_op, op) == 0) {
        return;
    }
    if (a->class != WEIR_PROVIDER_OK) {
        end_op(op, &r);
        return;
    }
    int rc = weir_xml_parse(a->body, &arena, &root, &err);
    const struct weir_xml *item = weir_xml_at(root, "instancesSet/item");
    bool fine = rc == 0 && item != NULL && ec2_read_instance(item, op->p->conf.region[op->region], &instance);
    weir_arena_release(&arena);
    if (!fine) { /* a machine may have been made all the same */
        end_with(op, WEIR_PROVIDER_UNKNOWN, rc < 0 ? err.text : "RunInstances: the answer names no machine");
        return;
    }
    r.instance = &instance;
    r.n_instances = 1;
    end_op(op, &r);
}

static int run(struct launch_op *op, const char *image)
{
    ec2_form_add(&op->form, "ImageId", image);
    return ec2_send(op->p, op->p->conf.region[op->region], "RunInstances", WEIR_CLOUD_REPEAT, LAUNCH_DEADLINE_MS, &op->form, on_run, free_op, op);
}

bool ec2_read_parameter(const struct weir_cloud_answer *a, char ret[static EC2_NAME_SIZE])
{
    json_t *j = json_loadb(a->body.p, a->body.n, 0, NULL);
    const char *value = json_string_value(json_object_get(json_object_get(j, "Parameter"), "Value"));
    bool fine = value != NULL && strncmp(value, "ami-", 4) == 0 && strlen(value) < EC2_NAME_SIZE;
    if (fine) {
        (void)snprintf(ret, EC2_NAME_SIZE, "%s", value);
    }
    json_decref(j);
    return fine;
}

static void on_image(void *ctx, const struct weir_cloud_answer *a)
{
    struct launch_op *op = ctx;
    if (a->class != WEIR_PROVIDER_OK) {
        /* nothing was launched: to say "unknown" would be untrue */
        char text[256];
        (void)snprintf(text, sizeof text, "image %.120s: %.120s", op->parameter, a->text);
        end_with(op, a->class == WEIR_PROVIDER_UNKNOWN ? WEIR_PROVIDER_THROTTLED : a->class, text);
        return;
    }
    struct ec2_region *region = &op->p->region[op->region];
    bool fine = ec2_read_parameter(a, region->image);
    if (fine) {
        region->image_at = weir_clock_wall(op->p->env->clock);
    }
    if (!fine) {
        end_with(op, WEIR_PROVIDER_REFUSED, "the parameter of 'image' does not hold the id of an image (ami-...)");
    } else if (run(op, region->image) < 0) {
        end_with(op, WEIR_PROVIDER_THROTTLED, "too many calls are under way");
    }
}

int ec2_ask_parameter(struct weir_provider *p, const char *region, const char *parameter, unsigned deadline_ms, weir_cloud_fn *done,
                      void (*drop)(void *ctx), void *ctx)
{
    static const struct weir_http_header headers[] = {{"Content-Type", "application/x-amz-json-1.1"}, {"X-Amz-Target", "AmazonSSM.GetParameter"}};
    char url[320];
    char scope[EC2_SCOPE_SIZE];
    char body[EC2_IMAGE_SIZE + 16];
    ec2_url(p, "ssm", region, url, sizeof url);
    (void)snprintf(scope, sizeof scope, "%s/ssm", region);
    (void)snprintf(body, sizeof body, "{\"Name\":\"%s\"}", parameter);
    const struct weir_cloud_request q = {.what = "GetParameter", .kind = WEIR_CLOUD_READ, .method = "POST", .url = url, .header = headers, .n_headers = 2,
                                         .body = weir_sv_of(body), .scope = scope, .deadline_ms = deadline_ms};
    return weir_cloud_send(p->cloud, &q, done, drop, ctx);
}

const char *ec2_image_of(const struct ec2_conf *c, const char *region)
{
    for (size_t i = 0; i < c->n_images; i++) {
        if (c->image[i].region[0] == '\0' || weir_streq(c->image[i].region, region)) {
            return c->image[i].name;
        }
    }
    return "";
}

/* ---- the form ---- */

static void add_tags(struct weir_str *form, const struct weir_launch *l)
{
    static const char *const resources[] = {"instance", "volume"};
    char lease[32];
    char name[48];
    (void)snprintf(lease, sizeof lease, "%" PRIu64, l->lease.v);
    (void)snprintf(name, sizeof name, "weir-%s", lease);
    const char *const tags[][2] = {{"Name", name}, {EC2_TAG_OWNER, l->owner}, {EC2_TAG_TOKEN, l->token}, {EC2_TAG_LEASE, lease}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(resources); i++) {
        char key[64];
        (void)snprintf(key, sizeof key, "TagSpecification.%zu.ResourceType", i + 1);
        ec2_form_add(form, key, resources[i]);
        for (size_t t = 0; t < WEIR_ARRAY_LEN(tags); t++) {
            (void)snprintf(key, sizeof key, "TagSpecification.%zu.Tag.%zu.Key", i + 1, t + 1);
            ec2_form_add(form, key, tags[t][0]);
            (void)snprintf(key, sizeof key, "TagSpecification.%zu.Tag.%zu.Value", i + 1, t + 1);
            ec2_form_add(form, key, tags[t][1]);
        }
    }
}

/* The subnet of the offer's zone; of an offer without one, any of the region, by the token. NULL: the default VPC's. */
static const struct ec2_subnet *subnet_of(const struct ec2_conf *c, const struct weir_launch *l)
{
    const struct ec2_subnet *fit[EC2_SUBNETS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < c->n_subnets; i++) {
        const struct ec2_subnet *s = &c->subnet[i];
        if (weir_streq(s->zone, l->offer->zone)) {
            return s;
        }
        if (l->offer->zone[0] == '\0' && strncmp(s->zone, l->offer->region, strlen(l->offer->region)) == 0) {
            fit[n++] = s;
        }
    }
    return n == 0 ? NULL : fit[weir_hash_bytes(l->token, strlen(l->token)) % n];
}

static void add_place(struct weir_str *form, const struct ec2_conf *c, const struct weir_launch *l)
{
    const struct ec2_subnet *subnet = subnet_of(c, l);
    char key[64];
    if (subnet == NULL) {
        for (size_t i = 0; i < c->n_groups; i++) {
            (void)snprintf(key, sizeof key, "SecurityGroupId.%zu", i + 1);
            ec2_form_add(form, key, c->group[i]);
        }
        if (l->offer->zone[0] != '\0') {
            ec2_form_add(form, "Placement.AvailabilityZone", l->offer->zone);
        }
        return;
    }
    ec2_form_add(form, "NetworkInterface.1.DeviceIndex", "0");
    ec2_form_add(form, "NetworkInterface.1.SubnetId", subnet->id);
    ec2_form_add(form, "NetworkInterface.1.AssociatePublicIpAddress", c->public_ip ? "true" : "false");
    ec2_form_add(form, "NetworkInterface.1.DeleteOnTermination", "true");
    for (size_t i = 0; i < c->n_groups; i++) {
        (void)snprintf(key, sizeof key, "NetworkInterface.1.SecurityGroupId.%zu", i + 1);
        ec2_form_add(form, key, c->group[i]);
    }
}

static int add_user_data(struct weir_provider *p, struct weir_str *form, const struct weir_launch *l, struct weir_err *err)
{
    char name[48];
    (void)snprintf(name, sizeof name, EC2_NAME "-%" PRIu64, l->lease.v);
    const struct weir_boot b = {.launch = l,
                                .name = name,
                                .env = p->env,
                                .pool = EC2_NAME,
                                .agent = p->conf.agent[0] == '\0' ? NULL : p->conf.agent,
                                .before = p->conf.before[0] == '\0' ? NULL : p->conf.before,
                                .notice = "ec2",
                                .bytes_max = WEIR_BOOT_BYTES_EC2};
    WEIR_CLEANUP(weir_str_release) struct weir_str script = {0};
    WEIR_CLEANUP(weir_str_release) struct weir_str encoded = WEIR_STR_INIT(2 * WEIR_BOOT_BYTES_EC2);
    int r = weir_boot_script(&b, &script, err);
    if (r < 0) {
        return r;
    }
    weir_base64(&encoded, weir_str_sv(&script));
    ec2_form_add(form, "UserData", weir_str_cstr(&encoded));
    return 0;
}

/* A targeted Capacity Reservation, a group of such, or a Capacity Block, which is a purchasing option of its own. */
static void add_reservation(struct weir_str *form, const struct weir_launch *l)
{
    if (l->reservation == NULL) {
        return;
    }
    bool is_group = strncmp(l->reservation, "arn:", 4) == 0;
    ec2_form_add(form,
                 is_group ? "CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationResourceGroupArn"
                          : "CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId",
                 l->reservation);
    if (l->offer->ends.us != 0) {
        ec2_form_add(form, "InstanceMarketOptions.MarketType", "capacity-block");
    }
}

void ec2_machine_form(const struct ec2_conf *c, const struct weir_launch *l, struct weir_str *form)
{
    *form = ec2_form("RunInstances");
    ec2_form_add(form, "MinCount", "1");
    ec2_form_add(form, "MaxCount", "1");
    ec2_form_add(form, "InstanceType", l->offer->instance_type);
    ec2_form_add(form, "InstanceInitiatedShutdownBehavior", "terminate"); /* a machine that switches itself off is gone */
    ec2_form_add(form, "MetadataOptions.HttpTokens", "required");
    ec2_form_add(form, "MetadataOptions.HttpPutResponseHopLimit", "2"); /* containers reach it too */
    ec2_form_add(form, "BlockDeviceMapping.1.DeviceName", c->root_device);
    ec2_form_addf(form, "BlockDeviceMapping.1.Ebs.VolumeSize", "%u", c->volume_gb);
    ec2_form_add(form, "BlockDeviceMapping.1.Ebs.VolumeType", "gp3");
    ec2_form_add(form, "BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true");
    if (c->instance_profile[0] != '\0') {
        ec2_form_add(form, strncmp(c->instance_profile, "arn:", 4) == 0 ? "IamInstanceProfile.Arn" : "IamInstanceProfile.Name", c->instance_profile);
    }
    if (c->key_name[0] != '\0') {
        ec2_form_add(form, "KeyName", c->key_name);
    }
    if (l->offer->market == WEIR_OFFER_SPOT) {
        ec2_form_add(form, "InstanceMarketOptions.MarketType", "spot");
        ec2_form_add(form, "InstanceMarketOptions.SpotOptions.SpotInstanceType", "one-time");
        ec2_form_add(form, "InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior", "terminate");
    }
    add_reservation(form, l);
    add_place(form, c, l);
    add_tags(form, l);
}

static int check(const struct weir_provider *p, const struct weir_launch *l, struct weir_err *err)
{
    struct weir_wall now = weir_clock_wall(p->env->clock);
    if (!weir_streq(l->offer->provider, EC2_NAME)) {
        return weir_fail(err, -WEIR_EINVAL, "the offer is not one of " EC2_NAME);
    }
    if (l->token[0] == '\0' || strlen(l->token) >= WEIR_TOKEN_SIZE) {
        return weir_fail(err, -WEIR_EINVAL, "the token is empty or too long");
    }
    if (l->expires.us <= now.us || l->expires.us == INT64_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "the lease has no expiry, or it has passed");
    }
    if (ec2_region_index(p, l->offer->region) < 0) {
        return weir_fail(err, -WEIR_EINVAL, "region '%s' is not among those of the configuration", l->offer->region);
    }
    return 0;
}

static void on_refused(void *ctx, const struct weir_cloud_answer *a)
{
    struct weir_provider_result r = weir_cloud_result(a);
    end_op(ctx, &r);
}

int ec2_launch(struct weir_provider *p, const struct weir_launch *l, weir_provider_fn *done, void *ctx)
{
    struct weir_err err = {""};
    struct launch_op *op = weir_alloc(sizeof *op);
    *op = (struct launch_op){.p = p, .done = done, .ctx = ctx};
    (void)snprintf(op->token, sizeof op->token, "%s", l->token);
    int r = check(p, l, &err);
    if (r == 0) {
        ec2_machine_form(&p->conf, l, &op->form);
        ec2_form_add(&op->form, "ClientToken", l->token);
        r = add_user_data(p, &op->form, l, &err);
    }
    if (r < 0) {
        r = weir_cloud_refuse(p->cloud, "launch", WEIR_PROVIDER_REFUSED, err.text, on_refused, free_op, op);
    } else {
        op->region = ec2_region_index(p, l->offer->region);
        const struct ec2_region *region = &p->region[op->region];
        const char *image = ec2_image_of(&p->conf, l->offer->region);
        bool is_fresh = region->image[0] != '\0' && weir_wall_sub(weir_clock_wall(p->env->clock), region->image_at).us < IMAGE_MAX_AGE.us;
        if (strncmp(image, "ami-", 4) == 0 || is_fresh) {
            r = run(op, strncmp(image, "ami-", 4) == 0 ? image : region->image);
        } else {
            (void)snprintf(op->parameter, sizeof op->parameter, "%s", image + strlen("ssm:"));
            r = ec2_ask_parameter(p, l->offer->region, op->parameter, 0, on_image, free_op, op);
        }
    }
    if (r < 0) {
        free_op(op);
    }
    return r;
}
