"""The settings of an applier whose target is a class of the user's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from airflow_provider_tungsten.replicator.batch.presets import Csv
from airflow_provider_tungsten.replicator.batch.settings import ApplierSettings


class CustomCsv(Csv):
    """The preset by which any reader of CSV tells NULL from every text, if no other is asked for."""

    preset: Literal["default", "hive", "mysql", "oracle", "vertica", "redshift", "custom"] = "redshift"


class CustomApplier(ApplierSettings):
    """A target of one's own: batches are written to ``files``, and a class brings them on from there.

    :param class_: ``class`` in a service file: dotted path of the class, importable wherever tasks run.
    :param options: what the class is given; names of connections, never secrets.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    type: Literal["custom"]
    class_: Annotated[str, Field(alias="class", pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")]
    options: Mapping[str, Any] = {}
    csv: CustomCsv = CustomCsv()


def check_target(applier: ApplierSettings) -> None:
    """Whether a class that the settings name is one; there is nothing to check in other targets' settings.

    :raises ConfigurationError: see :func:`load_class`.
    """
    if isinstance(applier, CustomApplier):
        from airflow_provider_tungsten.replicator.custom.target import load_class

        load_class(applier.class_)
