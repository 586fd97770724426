"""A real S3 API, over HTTP: Parquet and image folders, entity tags as digests, fresh listings, changed objects."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hardset.pipeline.sources.table import open_source
from hardset.schemas.digests import image_sha256
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.sources import ImageFolderSource, ParquetSource
from hardset.schemas.records.run import Image
from tests.sources.making import parquet_bytes, pixels, png

s3fs = pytest.importorskip("s3fs")
SHAPE = Image(height=6, width=5, channels=3)


@pytest.fixture(scope="module")
def store() -> Iterator[s3fs.S3FileSystem]:
    """An empty bucket called `bucket` that s3:// URLs lead to."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        system = s3fs.S3FileSystem(use_listings_cache=False)
        system.mkdir("bucket")
        yield system
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_parquet_is_planned_and_read(store: s3fs.S3FileSystem) -> None:
    for number, split in enumerate(("train", "test")):
        images = [png(10 * number + i) for i in range(10)]
        store.pipe_file(f"bucket/hf/{split}-0.parquet", parquet_bytes(images, [1] * 10, group=4, names=["a", "b"]))
    for path in ("s3://bucket/hf", "s3://bucket/hf/*.parquet"):
        reader = open_source(ParquetSource(path=path))
        assert (reader.name, reader.class_names(), reader.probe()) == (path, ("a", "b"), SHAPE)
        plan = reader.plan(5)
        assert [(r.split, r.file, r.start, r.stop) for r in plan] == [
            (split, f"{split}-0.parquet", start, stop)
            for split in ("train", "test")
            for start, stop in ((0, 4), (4, 8), (8, 10))
        ]
        found = [digest for r in plan for digest in open_source(reader.spec).read(r, SHAPE, 2)[0].sha256]
        assert found == [image_sha256(pixels(i)) for i in range(20)]
    (first, *_) = open_source(ParquetSource(path="s3://bucket/hf/test-0.parquet")).plan(100)
    assert (first.split, first.rows) == ("test", 10)


def test_a_new_object_is_seen_at_once_and_a_changed_one_is_not_read_for_the_old(store: s3fs.S3FileSystem) -> None:
    store.pipe_file("bucket/grow/a.parquet", parquet_bytes([png(0)], [0]))
    spec = ParquetSource(path="s3://bucket/grow")
    (before,) = open_source(spec).plan(5)
    store.pipe_file("bucket/grow/b.parquet", parquet_bytes([png(1)], [0]))
    after = open_source(spec).plan(5)
    assert after[0] == before
    assert [r.file for r in after] == ["a.parquet", "b.parquet"]
    store.pipe_file("bucket/grow/a.parquet", parquet_bytes([png(2)], [0]))
    changed = open_source(spec).plan(5)
    assert changed[0] != before
    assert changed[1] == after[1]
    with pytest.raises(RunError, match=r"a.parquet has changed since the run was planned"):
        open_source(spec).read(before, SHAPE, 1)


def test_image_folders_are_planned_and_read(store: s3fs.S3FileSystem) -> None:
    store.pipe({f"bucket/set/{'ab'[i % 2]}/{i} [x].png": png(i) for i in range(10)})
    store.pipe_file("bucket/set/a/bad.png", b"junk")
    store.pipe_file("bucket/set/empty/", b"")
    spec = ImageFolderSource(path="s3://bucket/set")
    reader = open_source(spec)
    assert (reader.class_names(), reader.probe()) == (("a", "b", "empty"), SHAPE)
    plan = reader.plan(3)
    reads = [open_source(spec).read(r, SHAPE, 2) for r in plan]
    assert sorted(d for rows, _ in reads for d in rows.sha256) == sorted(image_sha256(pixels(i)) for i in range(10))
    assert [r.key for _, rejects in reads for r in rejects] == ["a/bad.png"]
    store.pipe_file("bucket/set/b/99.png", png(99))
    after = open_source(spec).plan(3)
    assert [r for r in after if r.file == "a"] == [r for r in plan if r.file == "a"]
    assert [r for r in after if r.file == "b" and "99.png" not in r.members] == [r for r in plan if r.file == "b"][:1]


def test_what_is_not_there_is_said(store: s3fs.S3FileSystem) -> None:
    for url in ("s3://bucket/nowhere", "s3://no-such-bucket/x"):
        with pytest.raises(JobError, match=rf"^source.path: {url}: no such file or folder"):
            open_source(ParquetSource(path=url)).plan(5)


def test_members_are_held_to_their_tags(store: s3fs.S3FileSystem) -> None:
    store.pipe({f"bucket/held/a/{i}.png": png(i) for i in range(3)})
    parts = store.fs if hasattr(store, "fs") else store
    upload = parts.call_s3("create_multipart_upload", Bucket="bucket", Key="held/a/3.png")
    tag = parts.call_s3(
        "upload_part", Bucket="bucket", Key="held/a/3.png", PartNumber=1, UploadId=upload["UploadId"], Body=png(3)
    )["ETag"]
    parts.call_s3(
        "complete_multipart_upload",
        Bucket="bucket",
        Key="held/a/3.png",
        UploadId=upload["UploadId"],
        MultipartUpload={"Parts": [{"ETag": tag, "PartNumber": 1}]},
    )
    assert store.info("bucket/held/a/3.png")["ETag"].strip('"').endswith("-1")  # no MD5 of the content
    spec = ImageFolderSource(path="s3://bucket/held")
    (part,) = open_source(spec).plan(5)
    assert len(open_source(spec).read(part, SHAPE, 1)[0]) == 4
    for name in ("1.png", "3.png"):
        before = store.cat_file(f"bucket/held/a/{name}")
        store.pipe_file(f"bucket/held/a/{name}", png(9))
        with pytest.raises(RunError, match=rf"a/{name} has changed since the run was planned"):
            open_source(spec).read(part, SHAPE, 1)
        store.pipe_file(f"bucket/held/a/{name}", before)
    store.rm_file("bucket/held/a/0.png")
    with pytest.raises(RunError, match=r"a/0.png has vanished"):
        open_source(spec).read(part, SHAPE, 1)
