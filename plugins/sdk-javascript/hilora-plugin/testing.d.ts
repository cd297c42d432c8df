import type { CheckerExport, ClassifierExport, FormatterExport } from "./index.js";

/** Holds a plugin's export against the golden cases of a file, and gives their number. */
export function golden(plugin: ClassifierExport | CheckerExport | FormatterExport, path: string | URL): number;
