/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A cloud in memory: the provider contract without processes or files. Its world is found by
 * env->data_dir and outlives the providers that were made for it, as a real cloud outlives a broker;
 * all its times come from env->clock, so a test with its own clock makes hours pass at once.
 *
 * Configuration: "boot_delay", "reclaim_after", "reclaim_notice" (durations), "capacity" and
 * "page_size" (numbers), with the meaning that the sandbox gives them. Faults: as the sandbox
 * (no_capacity, quota, refused, throttled[:SPAN], lost_reply, half_made, slow[:SPAN], boot_never,
 * reclaim:ID, clear).
 *
 * Where env->catalogue is set, the offers are the catalogue's for "fake"; else three of its own:
 * fake.1 (A100, on demand 2.00 and spot 0.80 an hour) and fake.8 (eight H100, 20.00 an hour).
 */

#include "cloud/provider.h"

extern const struct weir_provider_ops weir_fake_provider;

/* All machines that a world ever made, in the order of their launch, as they are at `now`. Returns
 * how many; at most max are written. */
size_t weir_fake_instances(const char *data_dir, struct weir_wall now, struct weir_instance *ret, size_t max);
/* Adds a machine of another owner, as somebody else on the same account would. */
void weir_fake_add_foreign(const char *data_dir, const char *owner, struct weir_wall now);
/* Forgets all worlds. No provider may be open. */
void weir_fake_reset(void);
