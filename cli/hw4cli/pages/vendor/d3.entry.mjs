export { bisector, extent, quantileSorted } from "d3-array";
export { axisBottom, axisLeft } from "d3-axis";
export { Delaunay } from "d3-delaunay";
export { drag } from "d3-drag";
export { scaleLinear, scaleLog } from "d3-scale";
export { interpolateViridis } from "d3-scale-chromatic";
export { pointer, select } from "d3-selection";
export { area, line } from "d3-shape";
export { zoom, zoomIdentity } from "d3-zoom";
