// Why: which prediction, which data, which rule, what happened after, and how to undo it.
import { Fragment } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Explanation } from "./api";
import { Panel } from "./panel";
import { fetchJson } from "./poll";

function Undo({ about }: { about: Explanation }) {
  const lease = about.lease;
  if (!lease || (lease.state !== "active" && lease.state !== "ahead")) return null;
  return (
    <>
      <dt>Undo</dt>
      <dd>
        This page can only be read. In a terminal: <code>tidegate restore --app {lease.app}</code>, or{" "}
        <code>tidegate pause</code> to give everything back.
      </dd>
    </>
  );
}

export function Why({ id, close }: { id: string; close: () => void }) {
  const [about, setAbout] = useState<Explanation | null>(null);
  const [error, setError] = useState<string | null>(null);
  useEffect(() => {
    const abort = new AbortController();
    setAbout(null);
    setError(null);
    fetchJson<Explanation>(`api/v1/explain/${encodeURIComponent(id)}`, abort.signal).then(setAbout, (reason) => {
      if (!abort.signal.aborted) setError(reason instanceof Error ? reason.message : String(reason));
    });
    return () => abort.abort();
  }, [id]);
  return (
    <Panel title={about?.title ?? (error ? "Not explained" : "…")} close={close}>
      {error && (
        <p class="empty">
          {error}. Predictions are replaced with every map; the store knows older ones:{" "}
          <code>tidegate explain {id}</code>.
        </p>
      )}
      {about && (
        <dl>
          {about.steps.map((step) => (
            <Fragment key={step.title}>
              <dt>{step.title}</dt>
              <dd>{step.text}</dd>
            </Fragment>
          ))}
          <Undo about={about} />
        </dl>
      )}
      {about && (
        <p class="faint">
          The same in a terminal: <code>tidegate explain {about.id}</code>
        </p>
      )}
    </Panel>
  );
}
