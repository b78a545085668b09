"""What a server has executed, be it MySQL's set or MariaDB's position, and what an event adds to it."""

from __future__ import annotations

from airflow_provider_tungsten.replicator.binlog.constants import GTID_EVENTS, EventType
from airflow_provider_tungsten.replicator.binlog.events import Event, parse_gtid, parse_previous_gtids
from airflow_provider_tungsten.replicator.binlog.gtid import GtidSet
from airflow_provider_tungsten.replicator.binlog.mariadb import MariadbPosition, parse_mariadb_gtid

Executed = GtidSet | MariadbPosition


def parse_executed(text: str) -> Executed:
    """As either writes it; '' is MySQL's empty set.

    :raises ValueError: neither.
    """
    return GtidSet.parse(text) if ":" in text or not text else MariadbPosition.parse(text)


def executed_behind(executed: Executed, event: Event) -> Executed:
    """What is executed where the transaction that `event` opens, or the file that it begins, has been read.

    :param executed: in front of it; may be changed.
    :raises CorruptLogError: an event that is cut short.
    """
    if event.type == EventType.PREVIOUS_GTIDS:
        return parse_previous_gtids(event.body)
    if event.type == EventType.GTID_LIST:
        return MariadbPosition.decode(event.body)
    if event.type == EventType.MARIADB_GTID:
        position = executed if isinstance(executed, MariadbPosition) else MariadbPosition()
        parse_mariadb_gtid(event).add_to(position)
        return position
    if event.type in GTID_EVENTS:
        parse_gtid(event.type, event.body).add_to(executed)
    return executed
