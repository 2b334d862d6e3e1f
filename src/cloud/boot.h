/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a rented machine does first: the shell script that a provider hands to it (user data of cloud-init, start command of a
 * container). It does this, in this order:
 *
 *   1. arms the end: a timer of systemd, or a loop in the background where there is none, ends the machine when its lease does,
 *      by the wall clock and by the uptime, whichever comes first, whether or not an agent ever starts. An agent that was told
 *      of a later expiry says so in a file (agent/lease-expires), which counts.
 *   2. where the launch has a link: makes the WireGuard tunnel to the site, by wg-quick, which it installs where it is not there; and
 *      tries until there is one, as nothing else could reach the broker.
 *   3. gets the agent: an installed one, or the broker's own program, which is checked against a SHA-256 sum that is in the script.
 *   4. runs it for ever, with the join token and the broker's authority in files of mode 0600: never on a command line.
 *
 * The text follows from its inputs alone, so that a launch that is repeated is the same to the byte.
 */

#include "base/str.h"
#include "cloud/provider.h"

struct weir_boot {
    const struct weir_launch *launch;
    const struct weir_provider_env *env; /* for the sums of the agent's program */
    const char *pool;      /* of the node: the provider's name */
    const char *name;      /* of the node, or a shell word that gives it, such as "$RUNPOD_POD_ID"; NULL: the host's */
    const char *agent;     /* path of an installed program; NULL: downloaded from the broker */
    const char *notice;    /* --notice of the agent: whose notices it reads; NULL: none */
    const char *end;       /* shell command that ends the machine for good; NULL: power off */
    const char *before;    /* the site's own shell commands, run before the agent starts, after the end is armed and the link made; NULL: none */
    const char *gpus;      /* declared devices "A100:8", for tests; NULL: as found */
    size_t bytes_max;      /* what the provider takes, before any encoding */
};

enum { WEIR_BOOT_BYTES_EC2 = 16384 };

/* The script. Errors: -WEIR_EINVAL (a value that cannot stand in it), -WEIR_ELIMIT (over bytes_max), -WEIR_EUNSUPPORTED (no sum of the
 * program is known and none is installed). ret's content is replaced. */
int weir_boot_script(const struct weir_boot *b, struct weir_str *ret, struct weir_err *err);
/*
 * The same for providers that rent containers, which keeps running in the foreground: a value for the container's variable WEIR_BOOT, which
 * WEIR_BOOT_COMMAND, the container's command line for `sh -c`, unpacks and runs. So nothing secret is on a command line. b->end must be
 * given: nothing in a container powers anything off. Errors: as above; bytes_max holds for the value.
 */
int weir_boot_container(const struct weir_boot *b, struct weir_str *ret, struct weir_err *err);
#define WEIR_BOOT_COMMAND                                                                                                      \
    "umask 077; B=${TMPDIR:-/tmp}/weir-boot; printf %s \"$WEIR_BOOT\" | base64 -d > $B; unset WEIR_BOOT; exec sh $B"
/* For b->end of a container that may delete itself by its provider's API: DELETE of url, again and again, with the key that the variable holds.
 * Both may name variables of the container. Appended. */
void weir_boot_delete(struct weir_str *ret, const char *key_variable, const char *url);
/* Standard base64, with padding, appended. */
void weir_base64(struct weir_str *ret, struct weir_sv bytes);
