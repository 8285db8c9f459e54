"""Reads compose.yaml, and sees that what it takes away from each container is taken away."""
import pathlib
import sys

import yaml

path = pathlib.Path(sys.argv[1])
said = yaml.safe_load(path.read_text())
for name, service in said["services"].items():
    wrong = [key for key, value in {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}.items()
             if service.get(key) != value]
    assert not wrong, f"{name}: {wrong}"
    assert service["user"].split(":")[0] not in ("0", "root"), f"{name} runs as root"
    volumes = [volume.split(":")[0] for volume in service.get("volumes", [])]
    for volume in volumes:
        assert volume in said["volumes"] or (path.parent / volume).is_dir(), f"{name}: there is no {volume}"
    assert set(service.get("secrets", [])) <= set(said["secrets"]), f"{name}: an unknown secret"
    assert "docker.sock" not in str(service)
agent = said["services"]["agent"]
assert agent["network_mode"] == "none" and "state" not in str(agent["volumes"])
user = agent["user"].split(":")[0]
config = (path.parent / "etc/countersign.toml").read_text()
assert f"{{ uid = {user} }}" in config, f"the configuration does not believe the agent's user, {user}"
print(f"{path}: {len(said['services'])} services, none of them root, none with a capability, the agent without a network")
