// Dragging the points of a figure, and adding some.

/** nearest(px, py) is a row or null; act: {taken(row), moved(row, px, py), released(row), added(px, py)}. */
function startEditing(svg, nearest, act) {
  const dragging = d3
    .drag()
    .container(svg.node())
    .filter((event) => !event.ctrlKey && !event.button)
    .subject((event) => {
      const row = nearest(event.x, event.y);
      return row === null ? null : { row, x: event.x, y: event.y };
    })
    .on("start", (event) => {
      svg.classed("dragging", true);
      act.taken(event.subject.row);
    })
    .on("drag", (event) => act.moved(event.subject.row, event.x, event.y))
    .on("end", (event) => {
      svg.classed("dragging", false);
      act.released(event.subject.row);
    });
  svg.call(dragging).style("touch-action", "pan-y");
  svg.on("dblclick", (event) => {
    const [px, py] = d3.pointer(event);
    if (nearest(px, py) === null) act.added(px, py);
  });
}
