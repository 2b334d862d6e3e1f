/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * OpenStack: servers of Nova with tokens of Keystone v3, on a cloud of one's own or of somebody else. A server has no idempotency key: it
 * is ours by its name and by the tag "weir-<owner>". What its flavors cost and which GPUs they have is the configuration's to say.
 */

#include "cloud/provider.h"

extern const struct weir_provider_ops weir_openstack_provider;
