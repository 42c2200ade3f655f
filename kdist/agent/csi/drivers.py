"""The CSI drivers that are registered on this node at the moment."""

from __future__ import annotations

from kdist.agent.csi.client import Driver


class DriverMissing(LookupError):
    """No driver of that name is registered on this node; it may still be starting."""


class Drivers:
    """Drivers by name. A driver that registers again replaces its earlier connection."""

    def __init__(self) -> None:
        self._drivers: dict[str, Driver] = {}

    def get(self, name: str) -> Driver:
        """The driver. Raises DriverMissing."""
        driver = self._drivers.get(name)
        if driver is None:
            raise DriverMissing(f"CSI driver {name} is not registered on this node")
        return driver

    async def put(self, driver: Driver) -> None:
        """Take a driver in."""
        old = self._drivers.get(driver.name)
        self._drivers[driver.name] = driver
        if old is not None:
            await old.close()

    async def drop(self, name: str) -> None:
        """Forget a driver."""
        old = self._drivers.pop(name, None)
        if old is not None:
            await old.close()
