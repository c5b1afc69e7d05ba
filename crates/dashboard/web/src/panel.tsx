// A panel over the page: modal, closed by Escape, a click beside it, or its button.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

interface Props {
  title: string;
  close: () => void;
  children: ComponentChildren;
}

export function Panel({ title, close, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  const outside = (event: MouseEvent) => {
    if (event.target === dialog.current) dialog.current?.close();
  };
  return (
    <dialog ref={dialog} class="panel" onClose={close} onClick={outside} aria-labelledby="panel-title">
      <div class="panel-body">
        <header>
          <h2 id="panel-title">{title}</h2>
          <button class="quiet" onClick={() => dialog.current?.close()} aria-label="Close">✕</button>
        </header>
        {children}
      </div>
    </dialog>
  );
}
