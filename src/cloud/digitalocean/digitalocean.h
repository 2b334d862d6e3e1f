/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * DigitalOcean: GPU Droplets by its API v2. A Droplet has no idempotency key: it is ours by its name and by the tag "weir-<owner>".
 * Whether it could be made shows in the action that its launch begins.
 */

#include "cloud/provider.h"

extern const struct weir_provider_ops weir_digitalocean_provider;
