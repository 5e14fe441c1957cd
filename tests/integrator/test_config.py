"""The environment, and what is said when it does not fit."""

from __future__ import annotations

import pytest

from sandbox.integrator import Config, ConfigError

ENV = {
    "SHOP_URL": "http://127.0.0.1:8420/shop/",
    "SHOP_API_KEY": "shop-key",
    "CRM_URL": "http://127.0.0.1:8420/crm",
    "CRM_CLIENT_ID": "client",
    "CRM_CLIENT_SECRET": "client-hush",
    "ACCOUNTING_URL": "http://127.0.0.1:8420/accounting",
    "ACCOUNTING_TOKEN": "accounting-hush",
    "SHIPPING_URL": "http://127.0.0.1:8420/shipping",
    "SHIPPING_API_KEY": "shipping-hush",
    "WEBHOOK_SECRET": "whsec_hush",
}


def test_defaults() -> None:
    config = Config.from_env(ENV)
    assert config.shop_url == "http://127.0.0.1:8420/shop"
    assert config.read_timeout == 10.0
    assert config.reconcile_every == 300.0


def test_everything_can_be_set() -> None:
    config = Config.from_env(ENV | {"PORT": "0", "RECONCILE_EVERY": "2.5", "MAX_ATTEMPTS": "3", "DATA_FILE": "x.db"})
    assert (config.port, config.reconcile_every, config.max_attempts, config.data_file) == (0, 2.5, 3, "x.db")


def test_all_that_is_missing_is_named_in_one_line() -> None:
    with pytest.raises(ConfigError) as error:
        Config.from_env({"SHOP_URL": "http://127.0.0.1:8420/shop", "CRM_URL": ""})
    assert "\n" not in str(error.value)
    assert all(name in str(error.value) for name in ENV if name != "SHOP_URL")
    assert "SHOP_URL" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SHOP_URL", "127.0.0.1:8420"),
        ("CRM_URL", "ftp://127.0.0.1"),
        ("PORT", "http"),
        ("PORT", "-1"),
        ("PORT", "²"),
        ("READ_TIMEOUT", "0"),
        ("READ_TIMEOUT", "soon"),
        ("RECONCILE_EVERY", "inf"),
        ("RECONCILE_EVERY", "nan"),
        ("SSL_CERT_FILE", "no-such-file.pem"),
        ("SHIPPING_CLIENT_CERT", "no-such-file.pem"),
        ("SHIPPING_CLIENT_KEY", "no-such-file.key"),
    ],
)
def test_value_that_cannot_be_understood(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name) as error:
        Config.from_env(ENV | {name: value})
    assert "\n" not in str(error.value)


def test_secrets_are_not_shown() -> None:
    assert "hush" not in repr(Config.from_env(ENV))
