/**
 * The picture of a LangGraph `ui` message that `ImageGenerationMiddleware(ui=True)` and `ImageGenerationTool(ui=True)` push.
 *
 * Name this file under "ui" in langgraph.json, or pass `components` to `LoadExternalComponent`. It needs React alone.
 */
import * as React from "react";

export interface Version {
  handle: string;
  url?: string;
  prompt?: string;
}

export interface GeneratedImageProps {
  state: "started" | "partial" | "finished" | "failed";
  handle?: string | null;
  url?: string | null;
  index?: number | null;
  mime_type?: string | null;
  width?: number | null;
  height?: number | null;
  prompt?: string | null;
  revised_prompt?: string | null;
  error?: string | null;
  /** The pictures that this one was made from, the oldest first, and the picture itself. */
  versions?: Version[];
}

const EXTENSIONS: Record<string, string> = {
  "image/png": "png",
  "image/jpeg": "jpg",
  "image/webp": "webp",
  "image/gif": "gif",
  "image/svg+xml": "svg",
};

const styles: Record<string, React.CSSProperties> = {
  card: { margin: 0, maxWidth: "32rem", fontFamily: "inherit" },
  picture: { display: "block", maxWidth: "100%", height: "auto", borderRadius: "0.5rem" },
  sharpening: { filter: "blur(2px)", transition: "filter 0.3s" },
  waiting: { padding: "4rem 1rem", borderRadius: "0.5rem", background: "rgba(127, 127, 127, 0.15)", textAlign: "center" },
  caption: { marginTop: "0.5rem", fontSize: "0.875rem", overflowWrap: "anywhere" },
  versions: { display: "flex", gap: "0.5rem", marginTop: "0.5rem", overflowX: "auto" },
  version: { padding: "2px", border: "2px solid transparent", borderRadius: "0.375rem", background: "none", cursor: "pointer" },
  thumbnail: { display: "block", width: "4rem", height: "4rem", objectFit: "cover", borderRadius: "0.25rem" },
};

/** Returns an address if a browser may load it: no script, no other scheme. */
function safe(url: string | null | undefined): string | undefined {
  return url && /^(https?:|blob:|\/(?!\/))/i.test(url) ? url : undefined;
}

function Waiting({ state, error }: Pick<GeneratedImageProps, "state" | "error">): React.JSX.Element {
  if (state === "failed") {
    return <div role="alert" style={styles.waiting}>{error || "No picture was drawn."}</div>;
  }
  const words = state === "finished" ? "This picture has no address." : "Drawing …";
  return <div role="status" style={styles.waiting}>{words}</div>;
}

export function GeneratedImage(props: GeneratedImageProps): React.JSX.Element {
  const [chosen, choose] = React.useState<string | null>(null);
  const versions = (props.versions ?? []).filter((version) => safe(version.url));
  const version = versions.find(({ handle }) => handle === chosen && handle !== props.handle);
  const url = safe(version ? version.url : props.url);
  const handle = version?.handle ?? props.handle ?? undefined;
  const prompt = (version ? version.prompt : props.prompt) ?? undefined;
  const revised = version ? undefined : props.revised_prompt;
  const extension = EXTENSIONS[props.mime_type ?? ""] ?? "png";
  const drawing = props.state === "started" || props.state === "partial";
  return (
    <figure style={styles.card} data-handle={handle} aria-busy={drawing}>
      {url && props.state !== "failed" ? (
        <img
          src={url}
          alt={prompt ?? "a picture"}
          width={version ? undefined : props.width ?? undefined}
          height={version ? undefined : props.height ?? undefined}
          style={drawing ? { ...styles.picture, ...styles.sharpening } : styles.picture}
        />
      ) : (
        <Waiting state={props.state} error={props.error} />
      )}
      <figcaption style={styles.caption}>
        {prompt && <div>{prompt}</div>}
        {revised && revised !== prompt && (
          <details>
            <summary>Revised prompt</summary>
            {revised}
          </details>
        )}
        {url && props.state === "finished" && (
          <a href={url} download={`${handle ?? "picture"}.${extension}`} target="_blank" rel="noopener noreferrer">
            Download
          </a>
        )}
      </figcaption>
      {versions.length > 1 && (
        <div role="group" aria-label="Versions" style={styles.versions}>
          {versions.map((each) => (
            <button
              key={each.handle}
              type="button"
              title={each.prompt ?? each.handle}
              aria-pressed={each.handle === handle}
              onClick={() => choose(each.handle)}
              style={each.handle === handle ? { ...styles.version, borderColor: "currentColor" } : styles.version}
            >
              <img src={safe(each.url)} alt={each.prompt ?? each.handle} style={styles.thumbnail} />
            </button>
          ))}
        </div>
      )}
    </figure>
  );
}

export default { generated_image: GeneratedImage };
