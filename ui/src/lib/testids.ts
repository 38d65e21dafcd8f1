// The test ids that tests outside this folder drive (Playwright in a browser, WebDriver in the window). Renaming one breaks them.
//
//   nav-<screen>            sidebar links: nav-clusters, nav-activity, nav-backups, nav-alerts, nav-audit, nav-settings; nav-search opens the palette
//   connection-switcher     opens the menu of connections; connection-<name> chooses one; connection-add, connection-form-* (name, url, token, fingerprint, submit); in the window only
//   deploy-first            the button of the empty state; new-cluster in the list's header
//   clusters-search, clusters-filter-state, clusters-filter-service; cluster-row (with data-name) in the list
//   wizard-service-<id>     a service card; wizard-next, wizard-back, wizard-create, wizard-discard, wizard-name,
//                           wizard-plan-<id>, wizard-topology-<id>, wizard-nodes-more / -fewer, wizard-shards-more / -fewer, wizard-summary
//   cluster-header (with data-state), cluster-add-node, cluster-delete, cluster-tab-<name>
//   protection-switch, failover-switch, failover-reason, option-<id>, resync, rotate, reveal-password, password,
//   connection-string, connection-waits, connection-fault, username, service-caution
//   topology-node (with data-node, data-role)
//   node-row (with data-node, data-role, data-state), node-menu-<name>, node-action-<act>; node-panel, node-facts (rows with data-fact), node-tab-<name>, log-lines
//   change-dialog, change-effects, change-warnings, change-blockers, way-out, change-typed, change-confirm, change-cancel, change-close
//   change-plan, change-version; parameter (with data-name), parameter-field, -reset, -undo, parameter-draft, -ask, -discard, parameters-old
//   step-list, step (with data-step, data-state); operation-row (with data-id, data-state), operation-cancel, operation-retry; half-deleted
//   back-up-now, overview-back-up, schedule-create; backup-proof (with data-proof), backup-next; backup-kind (with data-kind), snapshots-on-disk, snapshot-take, snapshot-schedule, vault-problem, backups-under-way, backups-card
//   backup-row (with data-id, data-cluster, data-state, data-reason), backup-open, backup-menu, backup-action-<act>, download-dialog, download-format-<format>, download-why-not, download-begin, download-progress, download-stop, download-file, backup-error, backups-more; backup-panel, backup-part, backup-sealed-for
//   backups-search, backups-filter-cluster, backups-filter-state; deleted-row (with data-name), recover; clusters-recoverable in the empty list of clusters
//   schedule (with data-when), schedule-next, -change, -off; schedule-form, schedule-mode-<id>, schedule-count, -unit, -cron, -zone, -keep-<id>, -verify; change-verify, change-vault, change-discard, change-inspect, change-inspect-time
//   restore-form, restore-name, -topology, -nodes, -provider, -region, -plan; key-banner, key-keep; key-public, key-secret, key-shown (with data-shown), key-show, -download, -bring, -none; key-dialog, key-field, key-submit
//   alerts-badge, alert-row (with data-kind, data-open, data-times), alerts-none
//   vault-row (with data-id, data-usable), vault-holds, vault-why, vault-check, vault-remove, vault-remove-confirm; vault-add, vault-dialog, vault-kind-<kind>, vault-name, -path, -endpoint, -bucket,
//   -region, -prefix, -access-key, -secret, -repository, vault-try, vault-good, vault-submit
//   metric-chart (with data-metric), range-<id>, metrics-export
//   access-card (with data-open), access-change, access-entry (with data-cidr), access-you, access-way (with data-enforced); access-form, access-row, access-cidr, -comment, -end, -remove, -add, -add-mine
//   trial-banner, trial-left, trial-keep, trial-revert
//   migration-card, migrate, cut-over, migration-logs; migration-wizard (with data-step), migration-from, -password, -ca, -ca-file, -follow, -replace, -validate, -begin; migration-check (with data-check, data-state), migration-compared
//   audit-row; settings-theme-<id>, settings-tray, settings-notifications, settings-save; settings-image-mirror, settings-own-images, settings-images-save
//   palette-input, palette-item; offline-banner; signin-token, signin-submit; error-panel (with data-code); toast

export const testid = {
	changeDialog: 'change-dialog',
	changeConfirm: 'change-confirm',
	changeTyped: 'change-typed',
	stepList: 'step-list',
	step: 'step',
	clusterRow: 'cluster-row',
	nodeRow: 'node-row',
	errorPanel: 'error-panel',
	offlineBanner: 'offline-banner',
	toast: 'toast'
} as const;
