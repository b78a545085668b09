from collections.abc import Iterable

from typing_extensions import Buffer

from airflow_provider_tungsten.replicator.binlog._images import Field
from airflow_provider_tungsten.replicator.binlog._spooled import SpooledBuffer

class PartialUpdates:
    def __init__(self, table: str, names: Iterable[str], fields: Iterable[Field]) -> None: ...
    def whole(self, out: SpooledBuffer, view: Buffer) -> None:
        """Puts the whole images behind what is there.

        :param view: of the rows.
        """
