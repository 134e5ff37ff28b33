"""Pictures in a bucket: one worker draws, a signed link shows it to anybody, another worker finds and edits it.

    BUCKET=s3://my-bucket/pictures python recipes/s3.py       # with the credentials of AWS's own tools
    python recipes/s3.py                                      # starts moto, an S3 server in this process

Needs: pip install '.[s3,simulator]', and without a bucket 'moto[server]'
OpenAI draws if OPENAI_API_KEY is set, otherwise a simulator. `gs://` and `az://` work the same with gcsfs or adlfs.
"""

from __future__ import annotations

import logging
import os
from datetime import timedelta

from langchain_imagegen import GeneratedImage, ImageGenerator, ImageLibrary, ImageStore
from langchain_imagegen.simulator import start_without_key


def draw_for_link(store: ImageStore) -> str:
    """Draw in one worker, and return a link to the picture that works for ten minutes."""
    draw = ImageGenerator(image_store=store, library=ImageLibrary(store, tags=["campaign"]))
    return draw.invoke("Draw a fox in the snow", quality="low").image.url(expires=600)


def edit_elsewhere(store: ImageStore) -> GeneratedImage:
    """Find the picture in another worker, which shares nothing but the bucket, and edit it."""
    library = ImageLibrary(store)
    fox = library.find("fox snow", tag="campaign")[0]
    draw = ImageGenerator(image_store=store, library=library)
    return draw.invoke("Make it night", images=[fox], quality="low").image


def clean_up(store: ImageStore) -> list[str]:
    """Delete what is older than a month, except pictures of the campaign; return the digests."""
    return store.prune(keep=ImageLibrary(store).find(tag="campaign"), older_than=timedelta(days=30))


def start_bucket() -> str:
    """Start an S3 server in this process, point AWS's clients at it, and return the address of a new bucket."""
    import s3fs
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "moto", "AWS_SECRET_ACCESS_KEY": "moto"}
    s3fs.S3FileSystem().mkdir("pictures")
    return "s3://pictures/drawn"


def main() -> None:
    """Draw, edit and clean up in the bucket."""
    start_without_key()
    bucket = os.environ.get("BUCKET") or start_bucket()
    # If the bucket cannot be written, a picture that was paid for goes to the folder.
    print(draw_for_link(ImageStore(bucket, fallback="not-uploaded")))
    night = edit_elsewhere(ImageStore(bucket))
    print(night.save("./"), "edits the picture in", bucket)
    print(len(clean_up(ImageStore(bucket))), "old pictures deleted")


if __name__ == "__main__":
    main()
