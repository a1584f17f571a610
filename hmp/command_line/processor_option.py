"""The model of the processors: ``-cpu MODEL[,FEATURE=VALUE...][,+FEATURE][,-FEATURE]``."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.command_line.option_values import HelpAnswer
from machine.schema import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.machine import Machine

_GLOBAL = Source(
    unknown="Property '{}' not found", integer="int64", unsigned="uint64", size="a size value"
)


class ProcessorOption:
    """What one option asks for; it is looked at when the processors are made.

    Args:
        text: the option's value.

    Raises:
        HelpAnswer: it asks what there is.
    """

    def __init__(self, text: str) -> None:
        if text in ("help", "?"):
            from machine.cpu.models import describe_models

            raise HelpAnswer(describe_models())
        self._model, *self._features = text.split(",")

    def apply(self, machine: Machine) -> None:
        """Let a machine have such processors.

        Raises:
            QemuError: there is no such model, it has no such property, or the property can't have
                that value; or this machine has no place for a processor.
        """
        from machine.cpu.models import cpu_models

        if not self._model:
            raise QemuError("-cpu option cannot be empty")
        models = cpu_models()
        model = models.get(self._model)
        if model is None:
            raise QemuError(f"unable to find CPU model '{self._model}'")
        switches = []
        for feature in self._features:
            if feature[:1] in ("+", "-"):
                switches.append(feature[1:])
                continue
            name, _, value = feature.partition("=")
            value = value or "on"
            try:
                models.check(model, name, value, _GLOBAL)
            except QemuError as error:
                raise QemuError(
                    f"can't apply global {model.type}.{name}={value}: {error}"
                ) from error
        if not machine.board.has_cpu:
            raise QemuError("apic-id property was not initialized properly")
        for name in switches:
            models.check(model, name, "on", _GLOBAL)
        if model.needs_host:
            raise QemuError(f"CPU model '{model.name}' requires KVM or HVF")
        machine.board = machine.board.but(cpu_model=model.name)
