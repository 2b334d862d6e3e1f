# SPDX-License-Identifier: Apache-2.0
"""OpenStack's own SDK against the mock cloud: what the mock answers is what that client understands, and a server that weir made is one
that it finds by its tag. Arguments: the mock's address, the password. Run by test_openstack.py.
"""
import sys

import openstack

url, password = sys.argv[1:]
cloud = openstack.connect(auth_url=f"{url}/v3", username="weir", password=password, project_name="gpu", user_domain_name="Default",
                          project_domain_id="default", region_name="RegionOne", compute_default_microversion="2.61", load_envvars=False,
                          load_yaml_config=False)
flavors = {f.name: f for f in cloud.compute.flavors()}
assert flavors["g1.a100.1"].vcpus == 16 and flavors["g1.a100.1"].extra_specs == {"pci_passthrough:alias": "a100:1"}, flavors
made = list(cloud.compute.servers(tags="weir"))
assert len(made) == 1 and made[0].status == "ACTIVE" and made[0].name.startswith("weir-"), made
assert f"weir-{made[0].name.split('-')[1]}" in made[0].tags, made[0].tags
server = cloud.compute.create_server(name="by-the-sdk", flavor_id=flavors["g1.a100.2"].id, image_id="70a599e0-31e7-49b7-b260-868f441e862b",
                                     networks="auto", tags=["web"])
server = cloud.compute.wait_for_server(server, interval=0.1, wait=20)
assert server.status == "ACTIVE", server
assert [s.id for s in cloud.compute.servers(tags="web")] == [server.id]
cloud.compute.delete_server(server)
cloud.compute.wait_for_delete(server, interval=0.1, wait=20)
print("ok")
