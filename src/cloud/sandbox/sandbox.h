/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The sandbox: a cloud on this host, to try weir with before it is given keys and to test with. Each
 * machine is a detached process ("weir-machine") that plays the hypervisor of one `weir agent`, in a
 * directory of its own. Machines do not depend on the broker: they go on when it is killed, end
 * at the expiry of their lease, and what they cost is written down in their own state files.
 *
 * Section of the configuration (all keys optional):
 *
 *     boot_delay               "2s"     from launch to the start of the agent
 *     capacity                 16       machines at once
 *     gpu_capacity             {}       GPUs at once, by model: {"A100": 16}
 *     max_gpus                 8        of one machine; larger offers are left out
 *     mirror                   ["aws", "gcp", "runpod"]   whose catalogue offers are imitated
 *     regions                  []       globs on the mirrored regions; empty: all
 *     offers                   []       own price list: {"instance_type", "gpu", "gpus", "price", "spot_price", "region", "cpus",
 *                                       "memory", "bill_quantum", "currency"}
 *     currency                 the ledger's   of the own price list, where a row does not say it
 *     reclaim_after            "0s"     spot: notice comes so long after the launch; 0: not by time
 *     reclaim_chance_per_hour  0        spot: 0 to 1; drawn at the launch from seed and token
 *     reclaim_notice           ""       from notice to the end; empty: as the mirrored provider has it
 *     price_every              "0s"     spot: so long a price holds; 0: it stays as listed
 *     price_swing              0.3      spot: prices wander so far up and down from the listed one, by the seed
 *     price_series             []       spot: or these factors on it in turn, from 1970 on and over and over
 *     seed                     1
 *     page_size                100      of list
 *     keep_disks               false    keep a machine's directory contents when it ends
 *
 * Faults (ops.fault, or lines of the file <data_dir>/sandbox/faults, which is taken and removed at
 * the next call): each word stands for the next launch, in the order given.
 *
 *     no_capacity  quota  refused      answered so; no machine is made
 *     throttled[:SPAN]                 answered so, with retry_after
 *     lost_reply                       the machine is made, the answer is UNKNOWN
 *     half_made                        as lost_reply, and the machine's process is not started: the
 *                                      next describe, list or launch with that token starts it
 *     slow[:SPAN]                      the answer comes late (default 2s)
 *     boot_never                       the machine stays pending and never runs an agent
 *     reclaim:ID                       not for a launch: reclaims that instance now
 *     clear                            forgets all that are queued
 */

#include "cloud/provider.h"

extern const struct weir_provider_ops weir_sandbox_provider;

/*
 * The program of one machine: argv[1] is its directory. Returns at once with an exit status: 0 when
 * the machine runs (detached), ran to its end before, or runs already.
 */
int weir_sandbox_machine_main(int argc, char **argv);
