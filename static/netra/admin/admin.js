// What every page of ours has, for the admin: relative times and copying. Unfold loads classic scripts only.
import("../page.js");
