/** Pointers on the axis: click goes there, drag makes a loop, the wheel zooms (with ctrl) and moves (with shift). */

const DRAG_PX = 5;

/** @param axis the Axis whose body listens */
export function followPointer(axis, app) {
  let down = null;
  const x = (event) => event.clientX - axis.tracks.getBoundingClientRect().left;
  const inTracks = (event) => x(event) >= 0 && event.target.closest(".lane-track") && !event.target.closest("[data-own-pointer]");
  const mark = (name, from, to) => {
    axis.over.style.setProperty(`--${name}-x`, `${Math.min(from, to)}px`);
    axis.over.style.setProperty(`--${name}-w`, `${Math.abs(to - from)}px`);
  };

  axis.body.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !inTracks(event)) return;
    down = { x: x(event), id: event.pointerId, dragged: false };
  });

  axis.body.addEventListener("pointermove", (event) => {
    const here = x(event);
    axis.over.classList.toggle("hovers", here >= 0);
    axis.over.style.setProperty("--hover", `${here}px`);
    axis.onHover?.(here >= 0 ? axis.view().time(here) : null);
    if (down?.id !== event.pointerId) return;
    if (!down.dragged && Math.abs(here - down.x) < DRAG_PX) return;
    if (!down.dragged) axis.body.setPointerCapture(down.id);
    down.dragged = true;
    axis.over.classList.add("drags");
    mark("drag", down.x, Math.min(axis.view().width, Math.max(0, here)));
  });

  axis.body.addEventListener("pointerup", (event) => {
    if (down?.id !== event.pointerId) return;
    const { x: from, dragged } = down;
    letGo();
    const view = axis.view();
    if (dragged) return loopBetween(view.time(from), view.time(x(event)), app);
    if (!event.target.closest("button")) app.player.seek(view.time(x(event)));
  });

  function letGo() {
    axis.over.classList.remove("drags");
    if (down?.dragged) swallowClick(axis.body);
    down = null;
  }
  axis.body.addEventListener("pointercancel", letGo);
  axis.body.addEventListener("pointerleave", () => {
    axis.over.classList.remove("hovers");
    axis.onHover?.(null);
  });
  axis.body.addEventListener("wheel", (event) => turn(event, axis, x(event)), { passive: false });
}

function loopBetween(a, b, app) {
  const [start, end] = [Math.min(a, b), Math.max(a, b)];
  if (end - start < 0.05) return;
  app.player.loop(start, end);
  app.player.seek(start);
  app.player.play();
}

/** A drag that ends on a button is no click on it. */
function swallowClick(element) {
  const stop = (event) => event.stopPropagation();
  element.addEventListener("click", stop, { capture: true, once: true });
  setTimeout(() => element.removeEventListener("click", stop, { capture: true }), 0);
}

function turn(event, axis, x) {
  const view = axis.view();
  if (event.ctrlKey || event.metaKey) {
    event.preventDefault();
    axis.show(view.zoomed(Math.exp(Math.sign(event.deltaY) * Math.min(0.5, Math.abs(event.deltaY) / 300)), view.time(x)));
  } else if (!view.isWhole && (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY))) {
    event.preventDefault();
    axis.show(view.moved((event.deltaX || event.deltaY) * view.scale));
  }
}
