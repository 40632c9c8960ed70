"""Images from columns of Parquet files, and what is refused of them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from subspace_sde.images import load
from tests.images.writing import ROWS, assert_holds, encoded, plain, refusal, write_parquet


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_parquet_columns_of_bytes(tmp_path, pixels, kind):
    contents = [encoded(x) for x in pixels]
    pq.write_table(pa.table({"name": ["x"] * 23, "data": pa.array(contents, kind)}), tmp_path / "x.parquet")
    assert_holds(load(tmp_path / "x.parquet"), pixels)


def test_parquet_prefers_the_schema_of_the_hub(tmp_path, pixels):
    hashes = pa.array([b"no image"] * 23, pa.binary())
    write_parquet(tmp_path / "X.PARQUET", [encoded(x) for x in pixels], hash=hashes)
    assert_holds(load(tmp_path / "X.PARQUET"), pixels)


def test_parquet_of_several_row_groups_and_batches(tmp_path):
    many = np.arange(600, dtype=np.uint16).view(np.uint8).reshape(600, 1, 2, 1).repeat(3, axis=3)
    table = pa.table({"img": pa.array([{"bytes": encoded(x)} for x in many])})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=290)
    assert_holds(load(tmp_path / "x.parquet"), many)


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("row", [1, 300])
def test_a_broken_row_is_named(tmp_path, kind, row):
    content, reason = ROWS[kind]
    contents = [encoded(plain((1, 2, 3), (64, 64)))] * 302
    contents[row] = content
    path = write_parquet(tmp_path / "x.parquet", contents)
    message = refusal(path)
    assert message.startswith(f"row {row} of {path} cannot be read as an image (") and reason in message


def test_a_parquet_file_without_images_is_named(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "label": [1, 2], "img": [{"path": "a"}, {"path": "b"}]}), path)
    message = refusal(path)
    assert message.startswith(f"{path} cannot be used") and "no image column" in message and "'label'" in message
    assert "holds 0 of the two" in refusal(write_parquet(path, []))
    assert "holds 1 of the two" in refusal(write_parquet(path, [encoded(plain())]))


def test_a_broken_parquet_file_is_named(tmp_path, pixels):
    path = write_parquet(tmp_path / "x.parquet", [encoded(x) for x in pixels])
    whole = path.read_bytes()
    for content in (
        b"",
        b"some text",
        whole[: len(whole) // 2],
        whole[:-8] + b"\xff" + whole[-7:],
    ):  # no length of the footer
        path.write_bytes(content)
        assert refusal(path).startswith(f"{path} cannot be used as a Parquet file of images (")
    path.write_bytes(whole[:4] + b"\xff" * 200 + whole[204:])  # the footer is whole, the pages are not
    assert refusal(path).startswith(f"{path} cannot be read to its end (")
