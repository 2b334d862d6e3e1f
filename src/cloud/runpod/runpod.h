/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * RunPod: containers with GPUs, by its REST API v2. A pod has no tags, no idempotency key and no user data: it is ours by its
 * name, and weir's script goes into its environment, from where its start command runs it. A pod may end itself with a key of
 * its own, which RunPod puts into its environment. Its image is the site's choice; it must have sh, base64 and curl or wget.
 */

#include "cloud/provider.h"

extern const struct weir_provider_ops weir_runpod_provider;
