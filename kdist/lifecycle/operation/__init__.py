"""What every operation on a running cluster shares: reaching it, one operator at a time, a journal, playbooks.

An operation (upgrade, join, restore, rotation, reset) looks like this::

    site = await Site.load(inventory)
    async with operator_lock(site, "kdist etcd restore", break_lock=break_lock) as held:
        recorder = Recorder(JournalFile(site.state / "restore.json"), Journal.begin("restore", entries))
        async with recorder.step("cp1/restore"):
            await run_playbook(site, "playbooks/etcd_restore.yml", held, limit=["cp1"])

Everything goes over the connections that Ansible uses: where ``site.yml`` works, this works, and no route to the API
servers is needed.
"""
