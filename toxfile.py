"""What tox.ini cannot say itself: `{minor}` is the release that an environment is for, "4.57" in `tf4.57`."""

from tox.config.sets import EnvConfigSet
from tox.plugin import impl
from tox.session.state import State


@impl
def tox_add_env_config(env_conf: EnvConfigSet, state: State) -> None:
    """Define `minor`; an environment that is for no release has its own name there and does not use it."""
    env_conf.add_constant("minor", "the release under test", env_conf.name.removeprefix("tf"))
