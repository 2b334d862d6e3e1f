/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is EC2 ready to be used? The first region tells whether it answers and knows us; then every region is asked for its image, and with
 * DryRun, by which EC2 says what it would do without doing it, whether a launch and an end would be allowed.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cloud/checks.h"
#include "cloud/ec2/ec2_priv.h"

#define POLICY "'Least privilege' in docs/guide/providers/aws.md has the whole policy"

struct check_run {
    struct weir_provider *p;
    weir_check_fn *done;
    void *ctx;
    size_t left; /* regions under way */
    struct weir_checks found;
};

struct check_region {
    struct check_run *run;
    size_t index;
    const char *name;
    char image[EC2_NAME_SIZE];
    char instance[EC2_NAME_SIZE]; /* one of ours; "": there is none */
};

static void drop_region(void *ctx)
{
    struct check_region *c = ctx;
    struct check_run *run = c->run;
    free(c);
    if (--run->left == 0) {
        weir_checks_release(&run->found);
        free(run);
    }
}

static void end_region(struct check_region *c)
{
    struct check_run *run = c->run;
    if (run->left == 1) {
        run->done(run->ctx, run->found.row.p, run->found.row.n);
    }
    drop_region(c);
}

/* The last call of the region was not even started. */
static void go_on(struct check_region *c, int r)
{
    if (r < 0) {
        weir_checks_add(&c->run->found, "region", WEIR_CHECK_WARNING, "ask again in a minute", "%s: too many calls to " EC2_NAME " are under way", c->name);
        end_region(c);
    }
}

/* ---- what a refusal means ---- */

static bool is_denied(const struct weir_cloud_answer *a)
{
    return weir_streq(a->code, "UnauthorizedOperation") || weir_streq(a->code, "AccessDenied") || weir_streq(a->code, "AccessDeniedException");
}

/* "... is not authorized to perform: ec2:CreateTags on resource ..." names what is missing, which need not be the operation's own. */
static void denied_permission(const struct weir_cloud_answer *a, const char *usual, char *ret, size_t size)
{
    static const char before[] = "to perform: ";
    const char *at = memmem(a->body.p, a->body.n, before, sizeof before - 1);
    size_t n = 0;
    if (at != NULL) {
        at += sizeof before - 1;
        n = strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-");
    }
    (void)snprintf(ret, size, "%.*s", n > 0 && n < size ? (int)n : (int)strlen(usual), n > 0 && n < size ? at : usual);
}

static void add_denied(struct check_region *c, const char *check, enum weir_check_verdict verdict, const char *usual, const struct weir_cloud_answer *a)
{
    char permission[80];
    char remedy[256];
    denied_permission(a, usual, permission, sizeof permission);
    (void)snprintf(remedy, sizeof remedy, "allow %s to these credentials; " POLICY, permission);
    weir_checks_add(&c->run->found, check, verdict, remedy, "%s: the permission %s is missing", c->name, permission);
}

/* What EC2 says of a request names the setting that it does not like. From the EC2 API reference, "Error codes". */
static const char *setting_of(const char *code)
{
    static const struct {
        const char *begin;
        const char *remedy;
    } rows[] = {
        {"InvalidAMIID", "correct 'image' of providers.aws"},
        {"InvalidSubnet", "correct 'subnets' of providers.aws"},
        {"InvalidGroup", "correct 'security_groups' of providers.aws"},
        {"InvalidSecurityGroupID", "correct 'security_groups' of providers.aws"},
        {"InvalidKeyPair", "correct 'key_name' of providers.aws"},
        {"InvalidIamInstanceProfile", "correct 'instance_profile' of providers.aws"},
        {"InvalidBlockDeviceMapping", "correct 'volume_gb' and 'root_device' of providers.aws"},
        {"VPCIdNotSpecified", "give 'subnets' of providers.aws: the region has no default VPC"},
        {"OptInRequired", "sign the account up for EC2 in the region, or take the region out of 'regions' of providers.aws"},
        {"PendingVerification", "wait until AWS has verified the account"},
        {"Blocked", "ask AWS why the account is blocked"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        if (strncmp(code, rows[i].begin, strlen(rows[i].begin)) == 0) {
            return rows[i].remedy;
        }
    }
    return "correct the settings of providers.aws that EC2 names here";
}

/* A failure that is none of those that the check knows. */
static void add_other(struct check_region *c, const char *check, const struct weir_cloud_answer *a)
{
    if (a->class == WEIR_PROVIDER_REFUSED) {
        weir_checks_add(&c->run->found, check, WEIR_CHECK_FAILED, setting_of(a->code), "%s: %s", c->name, a->text);
    } else {
        weir_checks_add(&c->run->found, check, WEIR_CHECK_WARNING, a->class == WEIR_PROVIDER_QUOTA ? "ask AWS for a higher limit (Service Quotas)" : "ask again in a minute",
                        "%s: %s", c->name, a->text);
    }
}

/* ---- the last: would a machine be ended? ---- */

static void on_end(void *ctx, const struct weir_cloud_answer *a)
{
    struct check_region *c = ctx;
    bool has_machine = c->instance[0] != '\0';
    if (weir_streq(a->code, "DryRunOperation")) {
        weir_checks_add(&c->run->found, "terminate", WEIR_CHECK_OK, NULL, "%s: TerminateInstances would be allowed", c->name);
    } else if (is_denied(a)) {
        /* a policy that goes by the machine's tags refuses for a machine that is not there */
        add_denied(c, "terminate", has_machine ? WEIR_CHECK_FAILED : WEIR_CHECK_WARNING, "ec2:TerminateInstances", a);
    } else if (!has_machine && strncmp(a->code, "InvalidInstanceID", 17) == 0) {
        weir_checks_add(&c->run->found, "terminate", WEIR_CHECK_OK, NULL, "%s: TerminateInstances is not refused; there is no machine to try it on", c->name);
    } else {
        add_other(c, "terminate", a);
    }
    end_region(c);
}

static void ask_end(struct check_region *c)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str form = ec2_form("TerminateInstances");
    ec2_form_add(&form, "DryRun", "true");
    ec2_form_add(&form, "InstanceId.1", c->instance[0] != '\0' ? c->instance : "i-00000000000000000");
    go_on(c, ec2_send(c->run->p, c->name, "TerminateInstances", WEIR_CLOUD_READ, WEIR_CHECK_MS_MAX, &form, on_end, drop_region, c));
}

/* ---- would a machine be launched? ---- */

/* The first type of the catalogue that is wanted there. */
static const struct weir_offer *some_offer(const struct check_region *c)
{
    const struct weir_provider *p = c->run->p;
    size_t n = 0;
    const struct weir_offer *o = p->env->catalogue == NULL ? NULL : p->env->catalogue(p->env->catalogue_ctx, EC2_NAME, &n);
    for (size_t i = 0; i < n; i++) {
        bool is_wanted = o[i].market == WEIR_OFFER_SPOT ? p->conf.spot : p->conf.on_demand;
        if (is_wanted && weir_streq(o[i].region, c->name) && ec2_type_is_wanted(&p->conf, o[i].instance_type)) {
            return &o[i];
        }
    }
    return NULL;
}

static void on_launch(void *ctx, const struct weir_cloud_answer *a)
{
    struct check_region *c = ctx;
    if (weir_streq(a->code, "DryRunOperation")) {
        weir_checks_add(&c->run->found, "launch", WEIR_CHECK_OK, NULL, "%s: RunInstances with %s would be allowed", c->name, c->image);
    } else if (is_denied(a)) {
        add_denied(c, "launch", WEIR_CHECK_FAILED, "ec2:RunInstances", a);
    } else if (a->class == WEIR_PROVIDER_OK) { /* it has the owner's tag and no lease: the next sweep ends it */
        weir_checks_add(&c->run->found, "launch", WEIR_CHECK_FAILED, "correct 'endpoint' of providers.aws; the machine is ended by the next sweep",
                        "%s: what answers there does not know DryRun and has launched a machine", c->name);
    } else {
        add_other(c, "launch", a);
    }
    ask_end(c);
}

static void ask_launch(struct check_region *c)
{
    struct weir_provider *p = c->run->p;
    const struct weir_launch l = {.token = "doctor", .owner = p->env->owner, .offer = some_offer(c)};
    if (l.offer == NULL) {
        weir_checks_add(&c->run->found, "launch", WEIR_CHECK_FAILED, "correct 'regions' or 'types' of providers.aws, or import a newer catalogue",
                        "%s: the price catalogue has no type that 'types' wants there", c->name);
        ask_end(c);
        return;
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str form = {0};
    ec2_machine_form(&p->conf, &l, &form);
    ec2_form_add(&form, "DryRun", "true");
    ec2_form_add(&form, "ImageId", c->image);
    go_on(c, ec2_send(p, c->name, "RunInstances", WEIR_CLOUD_READ, WEIR_CHECK_MS_MAX, &form, on_launch, drop_region, c));
}

/* ---- is the image there? ---- */

static void on_image(void *ctx, const struct weir_cloud_answer *a)
{
    struct check_region *c = ctx;
    struct weir_arena arena = {0};
    const struct weir_xml *root = NULL;
    if (is_denied(a)) { /* nothing else needs it */
        add_denied(c, "image", WEIR_CHECK_WARNING, "ec2:DescribeImages", a);
    } else if (a->class != WEIR_PROVIDER_OK && strncmp(a->code, "InvalidAMIID", 12) != 0) {
        add_other(c, "image", a);
    } else if (a->class == WEIR_PROVIDER_OK && weir_xml_parse(a->body, &arena, &root, NULL) == 0 &&
               weir_streq(weir_xml_text(root, "imagesSet/item/imageState"), "available")) {
        weir_checks_add(&c->run->found, "image", WEIR_CHECK_OK, NULL, "%s: %s is there", c->name, c->image);
    } else {
        weir_checks_add(&c->run->found, "image", WEIR_CHECK_FAILED, "correct 'image' of providers.aws: an image of that region that this account may use",
                        "%s: there is no image %s that could be launched", c->name, c->image);
    }
    weir_arena_release(&arena);
    ask_launch(c);
}

static void look_at_image(struct check_region *c)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str form = ec2_form("DescribeImages");
    ec2_form_add(&form, "ImageId.1", c->image);
    go_on(c, ec2_send(c->run->p, c->name, "DescribeImages", WEIR_CLOUD_READ, WEIR_CHECK_MS_MAX, &form, on_image, drop_region, c));
}

static void on_parameter(void *ctx, const struct weir_cloud_answer *a)
{
    struct check_region *c = ctx;
    const char *parameter = ec2_image_of(&c->run->p->conf, c->name);
    if (a->class == WEIR_PROVIDER_OK && ec2_read_parameter(a, c->image)) {
        look_at_image(c);
        return;
    }
    if (is_denied(a)) {
        add_denied(c, "image", WEIR_CHECK_FAILED, "ssm:GetParameter", a);
    } else if (a->class == WEIR_PROVIDER_OK || a->class == WEIR_PROVIDER_REFUSED) {
        weir_checks_add(&c->run->found, "image", WEIR_CHECK_FAILED, "correct 'image' of providers.aws: a parameter of that region that holds an ami-...",
                        "%s: %.120s: %s", c->name, parameter, a->class == WEIR_PROVIDER_OK ? "it does not hold the id of an image" : a->text);
    } else {
        add_other(c, "image", a);
    }
    ask_end(c);
}

static void ask_image(struct check_region *c)
{
    const char *image = ec2_image_of(&c->run->p->conf, c->name);
    if (strncmp(image, "ami-", 4) == 0) {
        (void)snprintf(c->image, sizeof c->image, "%s", image);
        look_at_image(c);
    } else {
        go_on(c, ec2_ask_parameter(c->run->p, c->name, image + strlen("ssm:"), WEIR_CHECK_MS_MAX, on_parameter, drop_region, c));
    }
}

/* ---- the first: who are we, and what of ours is there? ---- */

static int begin_region(struct check_run *run, size_t index);

static void on_listed(void *ctx, const struct weir_cloud_answer *a)
{
    struct check_region *c = ctx;
    struct check_run *run = c->run;
    struct weir_provider *p = run->p;
    struct weir_arena arena = {0};
    const struct weir_xml *root = NULL;
    if (c->index == 0) {
        static const char keys[] = "give good keys: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role; see docs/guide/providers/aws.md";
        if (!weir_checks_reach(&run->found, a, EC2_NAME, weir_clock_wall(p->env->clock), keys)) {
            end_region(c);
            return;
        }
        for (size_t i = 1; i < p->conf.n_regions; i++) {
            if (begin_region(run, i) < 0) {
                weir_checks_add(&run->found, "region", WEIR_CHECK_WARNING, "ask again in a minute", "%s: too many calls to " EC2_NAME " are under way",
                                p->conf.region[i]);
            }
        }
    }
    if (a->status == 0 || a->stale) {
        weir_checks_add(&run->found, "region", WEIR_CHECK_FAILED, "enable the region for the account, or take it out of 'regions' of providers.aws", "%s: %s",
                        c->name, a->text);
        end_region(c);
        return;
    }
    if (is_denied(a)) {
        add_denied(c, "list", WEIR_CHECK_FAILED, "ec2:DescribeInstances", a);
    } else if (a->class != WEIR_PROVIDER_OK) {
        add_other(c, "list", a);
    } else {
        weir_checks_add(&run->found, "list", WEIR_CHECK_OK, NULL, "%s: DescribeInstances is allowed", c->name);
        if (weir_xml_parse(a->body, &arena, &root, NULL) == 0) {
            (void)snprintf(c->instance, sizeof c->instance, "%s", weir_xml_text(root, "reservationSet/item/instancesSet/item/instanceId"));
        }
    }
    weir_arena_release(&arena);
    ask_image(c);
}

static int begin_region(struct check_run *run, size_t index)
{
    struct check_region *c = weir_alloc(sizeof *c);
    *c = (struct check_region){.run = run, .index = index, .name = run->p->conf.region[index]};
    run->left++;
    WEIR_CLEANUP(weir_str_release) struct weir_str form = ec2_form("DescribeInstances");
    ec2_form_add(&form, "Filter.1.Name", "tag:" EC2_TAG_OWNER);
    ec2_form_add(&form, "Filter.1.Value.1", run->p->env->owner);
    ec2_form_add(&form, "Filter.2.Name", "instance-state-name");
    ec2_form_add(&form, "Filter.2.Value.1", "running");
    ec2_form_add(&form, "MaxResults", "5");
    int r = ec2_send(run->p, c->name, "DescribeInstances", WEIR_CLOUD_READ, WEIR_CHECK_MS_MAX, &form, on_listed, drop_region, c);
    if (r < 0) {
        free(c);
        run->left--;
    }
    return r;
}

int ec2_check(struct weir_provider *p, weir_check_fn *done, void *ctx)
{
    struct check_run *run = weir_alloc(sizeof *run);
    *run = (struct check_run){.p = p, .done = done, .ctx = ctx};
    int r = begin_region(run, 0);
    if (r < 0) {
        free(run);
    }
    return r;
}
