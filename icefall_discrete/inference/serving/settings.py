"""Where a server listens, and what it bears."""

import dataclasses
import ipaddress

from icefall_discrete.base.settings import check_settings, setting

LOCAL_NAME = "localhost"


@dataclasses.dataclass(frozen=True)
class ServerConfig:
    """Where the server listens, and how much it takes from whom."""

    host: str = setting("127.0.0.1", "address to listen at; only this machine reaches the default")
    port: int = setting(6006, "port to listen at; 0: any that is free", minimum=0, maximum=65535)
    certificate: str = setting("", "PEM file with certificate and key, for https: browsers ask it of other machines")
    max_active_connections: int = setting(50, "clients at a time; more are told to come again", minimum=1)
    max_new_connections: float = setting(50.0, "connections a second, on average over a second", above=0)
    max_message_size: int = setting(1 << 20, "bytes of a message", minimum=1024)
    max_messages: float = setting(200.0, "messages a second of a client; it waits with more", above=0)
    idle_timeout_sec: float = setting(30.0, "a client that sends nothing for so long is let go, in seconds", above=0)
    max_buffered_sec: float = setting(
        10.0, "audio of a stream that waits; a faster client waits too, in seconds", above=0
    )
    max_stream_sec: float = setting(7200.0, "length of a stream, in seconds of audio and of time", above=0)
    max_utterance_length: float = setting(300.0, "length of an utterance that is sent whole, in seconds", above=0)
    max_lag_sec: float = setting(
        2.0, "an utterance of which no second came in so many gives its room to others, if these need it", above=0
    )
    max_sending_sec: float = setting(
        300.0, "time in which such an utterance must have come, in seconds, as it holds room till then", above=0
    )

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return self.host == LOCAL_NAME or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclasses.dataclass(frozen=True)
class BatchConfig:
    """How requests of many clients are put together."""

    max_batch_size: int = setting(16, "requests, or streams, that are recognised together", minimum=1)
    max_wait_ms: float = setting(10.0, "how long the first waits for others, in milliseconds", minimum=0)
    max_queue_size: int = setting(64, "requests that wait; one more is told that the server is busy", minimum=1)
    max_queued_sec: float = setting(1200.0, "audio of requests that wait or are being sent, in seconds", above=0)

    def __post_init__(self) -> None:
        check_settings(self)
